"""One adapter in a safetensors file: the names of its tensors, float32 matrices, scales, header.

Tensors of all families of LoRA files get one name: module, and role in its pair.
"""

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors

from scripts.lib.faults import LoadError
from scripts.lib.foreign import check_file, content, foreign, parsed_json, text
from scripts.lora_ablation.data.layout import (
    DOWN,
    TEXT_ENCODER,
    UNET,
    UP,
    Layout,
    paired_layout,
    stems,
)

# (what ends a key, what it leaves of the module path); the group names the role.
KEY_FAMILIES = [
    (re.compile(r"\.lora\.(down|up)\.weight$"), ""),  # diffusers
    (re.compile(r"\.lora_linear_layer\.(down|up)\.weight$"), ""),  # diffusers, text encoder
    (re.compile(r"(?:\.processor)?\.to_out_lora\.(down|up)\.weight$"), ".to_out.0"),  # legacy
    (re.compile(r"(?:\.processor)?\.(?P<to>to_[qkv])_lora\.(down|up)\.weight$"), r".\g<to>"),
    (re.compile(r"\.lora_([AB])(?:\.[^.]+)?\.weight$"), ""),  # PEFT, with or without adapter name
    (re.compile(r"\.lora_(down|up)\.weight$"), ""),  # kohya
    (re.compile(r"\.(alpha)$"), ""),
]
ROLES = {"down": "down", "A": "down", "up": "up", "B": "up", "alpha": "alpha"}
KOHYA = {"lora_unet_": UNET, "lora_te_": "text_encoder.", "lora_te1_": "text_encoder."}
KOHYA |= {"lora_te2_": "text_encoder_2."}
# Module names with an underscore of their own; in a kohya key every other underscore is a dot.
COMPOUND = (
    *("time_emb_proj", "conv_shortcut", "conv_norm_out", "time_embedding", "transformer_blocks"),
    *("down_blocks", "up_blocks", "mid_block", "to_q", "to_k", "to_v", "to_out", "proj_in"),
    *("proj_out", "conv_in", "conv_out", "linear_1", "linear_2", "text_model", "self_attn"),
    *("q_proj", "k_proj", "v_proj", "out_proj", "text_projection", "position_embedding"),
)
UNDERSCORE = re.compile(rf"(?<![a-z])({'|'.join(COMPOUND)})(?![a-z])|_")
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


def parse_key(key: str) -> tuple[str, str] | None:
    """Module and role (down, up or alpha) of a key of any family; None if it is no LoRA tensor.

    The module has diffusers' dotted path after `unet.` or `text_encoder.`, as in
    ("unet.mid_block.attentions.0.transformer_blocks.0.attn1.to_q", "down").
    """
    for pattern, rest in KEY_FAMILIES:
        if match := pattern.search(key):
            role = next(ROLES[group] for group in match.groups() if group in ROLES)
            return _module(key[: match.start()] + match.expand(rest)), role
    return None


def tensor_name(key: str) -> str | None:
    """Name of a down or up tensor in the store; None if the key is of neither."""
    module, role = parse_key(key) or ("", "alpha")
    return {"down": module + DOWN, "up": module + UP, "alpha": None}[role]


def _module(path: str) -> str:
    for prefix, root in KOHYA.items():
        if path.startswith(prefix):
            tail = path.removeprefix(prefix)
            return root + UNDERSCORE.sub(lambda match: match[1] or ".", tail)
    path = path.removeprefix("base_model.model.")
    if path.startswith("text_model."):
        return "text_encoder." + path
    return path if path.startswith((UNET, TEXT_ENCODER)) else UNET + path


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
        module, role = parse_key(key) or (None, None)
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
