"""One safetensors file: an adapter as float32 matrices with the scales of its pairs, or weights.

Tensors of all families of LoRA files get one name: module, and role in its pair (tensor_keys.py).
"""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors

from scripts.lib.faults import LoadError
from scripts.lib.foreign import check_file, content, foreign
from scripts.lora_ablation.data.layout import DOWN, UP, Layout, paired_layout, plain_layout, stems
from scripts.lora_ablation.data.peft_config import BESIDE, configurations
from scripts.lora_ablation.data.tensor_keys import Key, UnknownRoot, is_plain, method, read_key

FLOATS = {"F64": np.float64, "F32": np.float32, "F16": np.float16}
WHOLE = {f"{sign}{bits}": np.dtype(f"{kind}{bits}") for sign, kind in (("I", "int"), ("U", "uint"))
         for bits in (8, 16, 32, 64)}  # fmt: skip
WHOLE["BOOL"] = np.dtype(bool)
NO_FILE = "not readable as a safetensors file"


@dataclass(frozen=True)
class Adapter:
    """Tensors by name as float32 matrices (p, q), and alpha/r of each pair in layout order.

    `scaled_by` says where alpha was found; `left_out` names tensors of whole numbers.
    """

    tensors: dict[str, np.ndarray]
    layout: Layout
    scales: list[float]
    scaled_by: str = ""
    left_out: tuple[str, ...] = ()


def header(path: Path) -> dict[str, str]:
    """Text metadata of a safetensors file; the tensors are not read."""
    check_file(path, fault=NO_FILE)
    with foreign(path, NO_FILE), safetensors.safe_open(path, "numpy") as file:
        return file.metadata() or {}


def keys_of(path: Path) -> list[str]:
    """Names of a safetensors file's tensors of numbers that are not whole, from its header."""
    check_file(path, fault=NO_FILE)
    with foreign(path, NO_FILE), safetensors.safe_open(path, "numpy") as file:
        keys = file.keys()
        return [key for key in keys if file.get_slice(key).get_dtype() not in WHOLE]


def names_of(keys: list[str], who: str, root: str | None) -> list[str]:
    """Names in the store of the tensors that a file of these keys holds."""
    if is_plain(keys):
        return keys
    parsed = [_parsed(key, who, root) for key in keys]
    return [_name(key) for key in parsed if key.role != "alpha"]


def read_file(path: Path, who: str, root: str | None = None) -> Adapter:
    """What `path` holds, in any key family and precision; nothing is unpickled.

    Where no key is of an adapter the tensors are weights themselves. LoadError, naming `who` and
    the tensor, for what is neither.
    """
    found = read_arrays(path)
    if not found:
        raise LoadError(f"{who}: holds no tensor; expected an adapter, or weights.")
    return _weights(found, who) if is_plain([*found]) else _adapter(found, path, who, root)


def _adapter(found: dict[str, np.ndarray], path: Path, who: str, root: str | None) -> Adapter:
    """The adapter of these tensors.

    A pair's scale comes from its alpha tensor (kohya), else from `adapter_config.json` (PEFT), else
    from the header (diffusers), else alpha = r.
    """
    tensors, alphas, names = {}, {}, {}
    for key, value in found.items():
        module, role, names[module] = parsed = _parsed(key, who, root)
        if role == "alpha":
            alphas[module] = _alpha(value, key, who)
            continue
        name = _name(parsed)
        if name in tensors:
            raise LoadError(f"{who}: layer {name} is there twice, the second time as {key}.")
        tensors[name] = _matrix(value, name, who)
    layout = paired_layout({name: value.shape for name, value in tensors.items()}, who)
    ranks = {module: len(tensors[module + DOWN]) for module in stems(layout)}
    if lost := sorted(set(alphas) - set(ranks)):
        raise LoadError(
            f"{who}: layer {lost[0]} has an alpha and no factors; expected down and up."
        )
    roots = {module: module.split(".")[0] + "." for module in ranks}
    configured = configurations(path, header(path), list(dict.fromkeys(roots.values())))
    scales, told = [], {}
    for module, rank in ranks.items():
        if module in alphas:
            scale, by = alphas[module] / rank, "alpha tensors"
        elif config := configured.get(roots[module]):
            scale, by = config.scale(names[module], rank), _said_by(config.where)
        else:
            scale, by = 1.0, "nothing (then it is 1)"
        scales.append(scale)
        told[by] = None
    return Adapter(tensors, layout, scales, " and ".join(told))


def _weights(found: dict[str, np.ndarray], who: str) -> Adapter:
    """Tensors of any names; those of whole numbers (counters, positions) are left out."""
    floats = {name: value for name, value in found.items() if value.dtype.kind == "f"}
    if not floats:
        raise LoadError(f"{who}: holds no tensor of floating point numbers.")
    tensors = {name: _flat(value, name, who) for name, value in floats.items()}
    layout = plain_layout({name: value.shape for name, value in tensors.items()})
    return Adapter(tensors, layout, [], left_out=tuple(sorted(set(found) - set(floats))))


def _parsed(key: str, who: str, root: str | None) -> Key:
    try:
        parsed = read_key(key, root)
    except UnknownRoot as error:
        raise LoadError(f"{who}: {error}.") from error
    if parsed is None:
        kind = method(key)
        own = f", but of {kind}" if kind else ""
        raise LoadError(f"{who}: {key} is no down, up or alpha tensor of a LoRA adapter{own}.")
    return parsed


def _name(key: Key) -> str:
    return key.module + (DOWN if key.role == "down" else UP)


def _said_by(where: str) -> str:
    return BESIDE if where.endswith(BESIDE) else "the header"


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """All tensors of a safetensors file; bfloat16, which NumPy lacks, is widened to float32."""
    stored = content(path, fault=NO_FILE)
    with foreign(path, NO_FILE):
        entries = safetensors.deserialize(stored)
        return {name: _array(entry, f"{path}: tensor {name}") for name, entry in entries}


def _array(entry: dict, where: str) -> np.ndarray:
    if entry["dtype"] == "BF16":
        bits = np.frombuffer(entry["data"], np.uint16).astype(np.uint32) << 16
        return bits.view(np.float32).reshape(entry["shape"])
    known = FLOATS | WHOLE
    if entry["dtype"] not in known:
        allowed = ", ".join([*FLOATS, "BF16"])
        raise LoadError(f"{where} is of type {entry['dtype']}; expected one of {allowed}.")
    return np.frombuffer(entry["data"], known[entry["dtype"]]).reshape(entry["shape"])


def _matrix(value: np.ndarray, name: str, who: str) -> np.ndarray:
    """A factor as float32 (p, q): a convolution's down is (r, in*kh*kw), its up (out, r)."""
    if value.ndim not in (2, 3, 4, 5) or value.size == 0:
        raise LoadError(
            f"{who}: layer {name} has shape {value.shape}; expected a matrix or a convolution."
        )
    return _flat(value, name, who)


def _flat(value: np.ndarray, name: str, who: str) -> np.ndarray:
    """A tensor as a float32 matrix: a vector is one row, further axes are columns."""
    if value.dtype.kind != "f":
        kind = next(kind for kind, dtype in WHOLE.items() if dtype == value.dtype)
        allowed = ", ".join([*FLOATS, "BF16"])
        raise LoadError(f"{who}: layer {name} is of type {kind}; expected one of {allowed}.")
    if value.size == 0:
        raise LoadError(f"{who}: layer {name} has shape {value.shape}; expected numbers in it.")
    rows = len(value) if value.ndim > 1 else 1
    # A float64 beyond float32 becomes infinite and is refused as such.
    with np.errstate(over="ignore"):
        return value.reshape(rows, -1).astype(np.float32, copy=False)


def _alpha(value: np.ndarray, key: str, who: str) -> float:
    number = value.size == 1 and value.dtype.kind != "b"
    if not number or not 0 < value.item() < math.inf:
        raise LoadError(f"{who}: {key} is {value.tolist()}; expected one finite number above 0.")
    return float(value.item())
