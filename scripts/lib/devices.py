"""Where PyTorch computes: the key `device`, what this machine has, which GPU a job takes.

Nothing here imports PyTorch, which takes a second, but for a job that computes on a GPU.
"""

import ctypes
import fcntl
import os
import re
import subprocess
import tempfile
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from scripts.lib.faults import ConfigError, ContractError

if TYPE_CHECKING:
    import torch

Device = Literal["auto", "cpu", "cuda"]
# What the machine that plans chose for `auto`; a cluster's nodes inherit it, and so the same keys.
PLANNED = "ISOSPEED_DEVICE"
# Of NVIDIA's driver on Linux, and of Linux inside Windows.
DRIVER = ("/dev/nvidiactl", "/dev/dxg")


@cache
def obstacle() -> str:
    """Why PyTorch cannot compute with CUDA on this machine, as a clause; "" if nothing is seen."""
    if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        return "CUDA_VISIBLE_DEVICES hides every GPU"
    try:
        ctypes.CDLL("libcuda.so.1")
        driver = any(map(os.path.exists, DRIVER))
    except OSError:
        driver = False
    if not driver:
        return "this machine has no driver of NVIDIA's"
    return "" if torch_has_cuda() else "PyTorch is installed without CUDA (make run CUDA=1)"


def torch_has_cuda() -> bool:
    """Whether PyTorch was built with CUDA, by the file in which it says so itself."""
    found = find_spec("torch")
    if found is None or found.origin is None:
        return False
    told = Path(found.origin).with_name("version.py").read_text(encoding="utf-8")
    return re.search(r"^cuda\b.*=\s*['\"]", told, re.MULTILINE) is not None


def chosen(asked: Device, where: str, here: bool) -> str:
    """`cpu` or `cuda`, as the key `where` asks for it; `here`: jobs run on the machine that plans.

    ConfigError where a GPU is asked for that is not there.
    """
    if asked == "auto":
        return os.environ.setdefault(PLANNED, "cpu" if obstacle() else "cuda")
    if asked == "cuda" and here and obstacle():
        raise ConfigError(f"Config: {where} is 'cuda', but {obstacle()}; use 'cpu' or 'auto'.")
    return asked


def torch_device(name: str) -> "torch.device":
    """The device of a job in PyTorch: of several GPUs the first that no other job of ours has.

    ContractError where the driver has none.
    """
    import torch

    if name == "cuda":
        if not torch.cuda.is_available():
            raise ContractError("PyTorch finds no GPU that it can use (nvidia-smi names them).")
        torch.cuda.set_device(free_gpu(torch.cuda.device_count()))
    return torch.device(name)


def settle(device: "torch.device") -> None:
    """Wait until a GPU has computed what it was given, so that a clock may be read."""
    import torch

    if device.type == "cuda":
        torch.cuda.synchronize(device)


@cache
def free_gpu(count: int) -> int:
    """A number below `count` that no other process of this machine has; shared ones in turn.

    It stays with the process until that ends, however it ends: the system gives up its lock.
    """
    seen = os.environ.get("CUDA_VISIBLE_DEVICES", "all").replace("/", "-")
    for number in range(count):
        path = Path(tempfile.gettempdir(), f"isospeed-{os.getuid()}-gpu-{seen}-{number}")
        lock = os.open(path, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return number
        except OSError:
            os.close(lock)
    return os.getpid() % count


@cache
def gpu() -> dict[str, Any]:
    """What decides the bits and the speed of a GPU: model, driver, and PyTorch's switches."""
    import torch

    torch_device("cuda")
    properties = torch.cuda.get_device_properties(torch.cuda.current_device())
    return {
        "gpu": properties.name,
        "capability": f"{properties.major}.{properties.minor}",
        "driver": _driver(),
        "cuda": torch.version.cuda,
        "tf32_matmul": torch.backends.cuda.matmul.allow_tf32,
        "tf32_cudnn": torch.backends.cudnn.allow_tf32,
        "cudnn_deterministic": torch.backends.cudnn.deterministic,
        "cudnn_benchmark": torch.backends.cudnn.benchmark,
    }


def _driver() -> str:
    """The version of NVIDIA's driver."""
    asked = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        said = subprocess.run(asked, capture_output=True, text=True, timeout=60).stdout.split()
    except (OSError, subprocess.TimeoutExpired):
        said = []
    return said[0] if said else "unknown"
