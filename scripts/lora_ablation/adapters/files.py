"""One adapter in a safetensors file: its tensors as float32 matrices, its scales, its header."""

import json
import math
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors

from scripts.lib.faults import LoadError, reason
from scripts.lora_ablation.adapters.keys import parse
from scripts.lora_ablation.adapters.shard import paired_layout, stems
from scripts.lora_ablation.layout import DOWN, UP, Layout

DTYPES = {"F64": np.float64, "F32": np.float32, "F16": np.float16}
PEFT_CONFIG = "adapter_config.json"  # beside the file, written by PEFT
DIFFUSERS_CONFIG = "lora_adapter_metadata"  # in the header, written by diffusers


@dataclass(frozen=True)
class Adapter:
    """Tensors by name as float32 matrices (p, q), and alpha/r of each pair in layout order."""

    tensors: dict[str, np.ndarray]
    layout: Layout
    scales: list[float]


def header(path: Path) -> dict[str, str]:
    """Text metadata of a safetensors file; the tensors are not read."""
    try:
        with safetensors.safe_open(path, "numpy") as file:
            return file.metadata() or {}
    except (OSError, safetensors.SafetensorError) as error:
        raise _unreadable(path, error) from error


def read_adapter(path: Path, who: str) -> Adapter:
    """The adapter in `path`, whatever its key family and precision; nothing is unpickled.

    A pair's scale comes from its alpha tensor (kohya), else from `adapter_config.json` (PEFT), else
    from the header (diffusers), else alpha = r. Raises LoadError, naming `who` and the layer.
    """
    tensors, alphas = {}, {}
    for key, value in read_arrays(path).items():
        module, role = parse(key) or (None, None)
        if module is None:
            raise LoadError(f"{who}: {key} is no down, up or alpha tensor of a LoRA adapter.")
        if role == "alpha":
            alphas[module] = _alpha(value, key, who)
            continue
        name = module + (DOWN if role == "down" else UP)
        if name in tensors:
            raise LoadError(f"{who}: layer {name} is there twice, the second time as {key}.")
        tensors[name] = _matrix(value, name, who)
    layout = paired_layout({name: value.shape for name, value in tensors.items()}, who)
    ranks = {module: len(tensors[module + DOWN]) for module in stems(layout)}
    config = _lora_config(path)
    scales = [
        alphas[module] / rank if module in alphas else _configured(config, module, rank)
        for module, rank in ranks.items()
    ]
    return Adapter(tensors, layout, scales)


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """All tensors of a safetensors file; bfloat16, which NumPy lacks, is widened to float32."""
    try:
        entries = safetensors.deserialize(path.read_bytes())
    except (OSError, safetensors.SafetensorError) as error:
        raise _unreadable(path, error) from error
    return {name: _array(entry, f"{path}: tensor {name}") for name, entry in entries}


def _array(entry: dict, where: str) -> np.ndarray:
    if entry["dtype"] == "BF16":
        bits = np.frombuffer(entry["data"], np.uint16).astype(np.uint32) << 16
        return bits.view(np.float32).reshape(entry["shape"])
    if entry["dtype"] not in DTYPES:
        allowed = ", ".join([*DTYPES, "BF16"])
        raise LoadError(f"{where} is of type {entry['dtype']}; expected one of {allowed}.")
    return np.frombuffer(entry["data"], DTYPES[entry["dtype"]]).reshape(entry["shape"])


def _matrix(value: np.ndarray, name: str, who: str) -> np.ndarray:
    """A factor as float32 (p, q): a convolution's down is (r, in*kh*kw), its up (out, r)."""
    if value.ndim not in (2, 4) or value.size == 0:
        raise LoadError(
            f"{who}: layer {name} has shape {value.shape}; expected a matrix or a convolution."
        )
    # A float64 beyond float32 becomes infinite and is refused as such.
    with np.errstate(over="ignore"):
        return value.reshape(len(value), -1).astype(np.float32, copy=False)


def _alpha(value: np.ndarray, key: str, who: str) -> float:
    if value.size != 1 or not math.isfinite(value.item()):
        raise LoadError(f"{who}: {key} is {value.tolist()}; expected one finite number.")
    return float(value.item())


def _lora_config(path: Path) -> dict:
    """What PEFT or diffusers (keys with the model's name before) say of `path`; {} if nothing."""
    beside = path.with_name(PEFT_CONFIG)
    try:
        if beside.exists():
            return json.loads(beside.read_text(encoding="utf-8"))
        return json.loads(header(path).get(DIFFUSERS_CONFIG, "{}"))
    except ValueError as error:
        raise LoadError(f"{path}: its LoRA configuration is no JSON ({reason(error)}).") from error


def _configured(config: dict, module: str, rank: int) -> float:
    """Scale of a pair in PEFT's words: lora_alpha / r, or lora_alpha / sqrt(r) with use_rslora."""
    model = module.split(".")[0] + "."
    config = {key.removeprefix(model): value for key, value in config.items()}
    alpha = config.get("lora_alpha", rank)
    for pattern, own in (config.get("alpha_pattern") or {}).items():
        if re.match(rf"(.*\.)?({pattern})$", module):
            alpha = own
    return alpha / (math.sqrt(rank) if config.get("use_rslora") else rank)


def _unreadable(path: Path, error: Exception) -> LoadError:
    return LoadError(f"{path}: not readable as a safetensors file ({reason(error)}).")
