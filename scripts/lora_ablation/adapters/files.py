"""One adapter in a safetensors file: its tensors as float32 matrices, its scales, its header."""

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors

from scripts.lib.faults import LoadError
from scripts.lib.foreign import check_file, content, foreign, parsed_json, text
from scripts.lora_ablation.adapters.keys import parse
from scripts.lora_ablation.adapters.shard import paired_layout, stems
from scripts.lora_ablation.layout import DOWN, UP, Layout

DTYPES = {"F64": np.float64, "F32": np.float32, "F16": np.float16}
PEFT_CONFIG = "adapter_config.json"  # beside the file, written by PEFT
NO_FILE = "not readable as a safetensors file"
NO_CONFIG = "its LoRA configuration is no JSON"
# A pattern may say little: one with many repeats, or a repeated group, can take for ever to match.
REPEATS, MOST_REPEATS = re.compile(r"[*+?{]"), 4
REPEATED_GROUP = re.compile(r"\)\s*[*+{]")
DIFFUSERS_CONFIG = "lora_adapter_metadata"  # in the header, written by diffusers


@dataclass(frozen=True)
class Adapter:
    """Tensors by name as float32 matrices (p, q), and alpha/r of each pair in layout order."""

    tensors: dict[str, np.ndarray]
    layout: Layout
    scales: list[float]


def header(path: Path) -> dict[str, str]:
    """Text metadata of a safetensors file; the tensors are not read."""
    check_file(path, fault=NO_FILE)
    with foreign(path, NO_FILE), safetensors.safe_open(path, "numpy") as file:
        return file.metadata() or {}


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
    config = _lora_config(path, [*ranks])
    scales = [
        alphas[module] / rank if module in alphas else _configured(config, module, rank)
        for module, rank in ranks.items()
    ]
    return Adapter(tensors, layout, scales)


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
    if value.size != 1 or not 0 < value.item() < math.inf:
        raise LoadError(f"{who}: {key} is {value.tolist()}; expected one finite number above 0.")
    return float(value.item())


def _lora_config(path: Path, modules: list[str]) -> dict:
    """What PEFT or diffusers (keys with the model's name before) say of `path`, checked.

    Only lora_alpha, alpha_pattern and use_rslora are kept; {} if nothing is said.
    """
    beside, expected = path.with_name(PEFT_CONFIG), "an object such as {'lora_alpha': 16}"
    with foreign(path):
        there = beside.exists()
    if there:
        words, where = text(beside, f"{path}: {NO_CONFIG}"), str(beside)
    else:
        words, where = header(path).get(DIFFUSERS_CONFIG, "{}"), f"{path}: {DIFFUSERS_CONFIG}"
    found = parsed_json(words, path, NO_CONFIG, expected)
    if not isinstance(found, dict):
        raise LoadError(f"{where}: is a {type(found).__name__}; expected {expected}.")
    models = {module.split(".")[0] + "." for module in modules}
    return {
        key: check(found[key], f"{where}: {key}")
        for name, check in CHECKS.items()
        for key in (name, *(model + name for model in sorted(models)))
        if found.get(key) is not None
    }


def _positive(value: Any, where: str) -> float:
    """`value`, if it is a number that a scale can be made of."""
    with foreign(where, f"is {value!r}", "a finite number above 0"):
        if type(value) not in (int, float) or not 0 < float(value) < math.inf:
            raise LoadError(f"{where} is {value!r}; expected a finite number above 0.")
        return float(value)


def _patterns(value: Any, where: str) -> list[tuple[re.Pattern, float]]:
    """Compiled patterns of modules, each with its alpha."""
    if not isinstance(value, dict):
        raise LoadError(f"{where} is a {type(value).__name__}; expected {{pattern: alpha}}.")
    return [
        (_compiled(pattern, where), _positive(own, f"{where}: {pattern}"))
        for pattern, own in value.items()
    ]


def _compiled(pattern: str, where: str) -> re.Pattern:
    if REPEATED_GROUP.search(pattern) or len(REPEATS.findall(pattern)) > MOST_REPEATS:
        raise LoadError(
            f"{where} has the pattern {pattern!r}; expected a name with at most {MOST_REPEATS} "
            "repeats and no repeated group."
        )
    with foreign(where, f"has the pattern {pattern!r}", "a regular expression"):
        return re.compile(rf"(.*\.)?({pattern})$")


def _flag(value: Any, where: str) -> bool:
    if not isinstance(value, bool):
        raise LoadError(f"{where} is {value!r}; expected true or false.")
    return value


CHECKS = {"lora_alpha": _positive, "alpha_pattern": _patterns, "use_rslora": _flag}


def _configured(config: dict, module: str, rank: int) -> float:
    """Scale of a pair in PEFT's words: lora_alpha / r, or lora_alpha / sqrt(r) with use_rslora."""
    model = module.split(".")[0] + "."
    config = {key.removeprefix(model): value for key, value in config.items()}
    alpha = config.get("lora_alpha", rank)
    for pattern, own in config.get("alpha_pattern", []):
        if pattern.match(module):
            alpha = own
    return alpha / (math.sqrt(rank) if config.get("use_rslora") else rank)
