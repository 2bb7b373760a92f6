"""What PEFT's configuration says of an adapter: the scale of each pair, as PEFT itself computes it.

As in PEFT 0.21 (peft/tuners/lora/model.py, peft/utils/other.py): of `rank_pattern` and
`alpha_pattern` the first entry counts whose pattern matches `(.*\\.)?(pattern)$` from the start of
the module's name in the adapted network; without one `r` and `lora_alpha`, whose default is 8. The
scale is alpha / r, with `use_rslora` alpha / sqrt(r). Departs: types are taken literally (PEFT
takes the text "false" for true), alpha must be finite and above 0, and a rank that is not stated is
that of the tensors.
"""

import math
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scripts.lib.faults import LoadError
from scripts.lib.foreign import foreign, parsed_json, text

BESIDE = "adapter_config.json"  # beside the file, written by PEFT
IN_HEADER = "lora_adapter_metadata"  # in the header, written by diffusers: keys after their root
NO_CONFIG = "its LoRA configuration is no JSON"
EXPECTED = "an object such as {'lora_alpha': 16}"
DEFAULT_ALPHA = 8.0
# A pattern may say little: one with many repeats, or a repeated group, can take for ever to match.
REPEATS, MOST_REPEATS = re.compile(r"[*+?{]"), 4
REPEATED_GROUP = re.compile(r"\)\s*[*+{]")
# Keys that make an update another one than alpha/r up @ down.
VARIANTS = {
    "use_dora": "DoRA",
    "use_qalora": "QALoRA",
    "use_bdlora": "BD-LoRA",
    "kasa_config": "KaSA",
    "monteclora_config": "MonteCLoRA",
}


@dataclass(frozen=True)
class LoraConfig:
    """A checked configuration; `where` names its file in messages."""

    where: str
    alpha: float = DEFAULT_ALPHA
    rank: int | None = None
    rslora: bool = False
    alphas: list[tuple[re.Pattern, float]] = field(default_factory=list)
    ranks: list[tuple[re.Pattern, int]] = field(default_factory=list)

    def scale(self, name: str, rank: int) -> float:
        """Factor of up @ down of a module, by its name in the network and the rank of its tensors.

        LoadError if another rank is stated, since one of both is then of another adapter.
        """
        stated = _first(self.ranks, name, self.rank)
        if stated is not None and stated != rank:
            raise LoadError(
                f"{self.where}: states rank {stated} for {name}, whose tensors have rank {rank}."
            )
        return _first(self.alphas, name, self.alpha) / (math.sqrt(rank) if self.rslora else rank)


def _first(patterns: list[tuple[re.Pattern, Any]], name: str, otherwise: Any) -> Any:
    return next((value for pattern, value in patterns if pattern.match(name)), otherwise)


def configurations(path: Path, header: dict[str, str], roots: list[str]) -> dict[str, LoraConfig]:
    """By root ("unet.") what is said of the adapter in `path`, if anything is said of that root.

    The file beside it is about all roots; in the header each has its own keys, or all have them.
    """
    beside = path.with_name(BESIDE)
    with foreign(path):
        there = beside.exists()
    if there:
        whole = _config(text(beside, f"{beside}: {NO_CONFIG}"), str(beside))
        return dict.fromkeys(roots, _checked(whole, str(beside)))
    where = f"{path}: {IN_HEADER}"
    whole = _config(header.get(IN_HEADER, "{}"), where)
    found = {}
    for root in roots:
        own = {
            key.removeprefix(root): value for key, value in whole.items() if key.startswith(root)
        }
        if said := own or {key: value for key, value in whole.items() if "." not in key}:
            found[root] = _checked(said, where)
    return found


def _config(words: str, where: str) -> dict:
    found = parsed_json(words, where, NO_CONFIG, EXPECTED)
    if not isinstance(found, dict):
        raise LoadError(f"{where}: is a {type(found).__name__}; expected {EXPECTED}.")
    return found


def _checked(found: dict, where: str) -> LoraConfig:
    kind = found.get("peft_type", "LORA")
    if kind != "LORA":
        raise LoadError(f"{where}: peft_type is {kind!r}; expected LORA.")
    for key, method in VARIANTS.items():
        value = found.get(key)
        if key.startswith("use_d") or key == "use_qalora":
            value = value is not None and _flag(value, f"{where}: {key}")
        if value:
            raise LoadError(
                f"{where}: {key} is set, so the adapter is of {method}, whose update is not "
                "alpha/r up @ down; expected plain LoRA."
            )
    checked = {
        name: check(found[key], f"{where}: {key}")
        for key, (name, check) in CHECKS.items()
        if found.get(key) is not None or (key == "lora_alpha" and key in found)
    }
    return LoraConfig(where, **checked)


def _positive(value: Any, where: str) -> float:
    """`value`, if it is a number that a scale can be made of."""
    with foreign(where, f"is {value!r}", "a finite number above 0"):
        if type(value) not in (int, float) or not 0 < float(value) < math.inf:
            raise LoadError(f"{where} is {value!r}; expected a finite number above 0.")
        return float(value)


def _rank(value: Any, where: str) -> int:
    if type(value) is not int or value < 1:
        raise LoadError(f"{where} is {value!r}; expected a whole number above 0.")
    return value


def _flag(value: Any, where: str) -> bool:
    if not isinstance(value, bool):
        raise LoadError(f"{where} is {value!r}; expected true or false.")
    return value


def _patterns(check: Any, value: Any, where: str) -> list[tuple[re.Pattern, Any]]:
    """Compiled patterns of modules in their order, each with its checked value."""
    if not isinstance(value, dict):
        raise LoadError(f"{where} is a {type(value).__name__}; expected {{pattern: number}}.")
    return [
        (_compiled(pattern, where), check(own, f"{where}: {pattern}"))
        for pattern, own in value.items()
    ]


def _alphas(value: Any, where: str) -> list[tuple[re.Pattern, float]]:
    return _patterns(_positive, value, where)


def _ranks(value: Any, where: str) -> list[tuple[re.Pattern, int]]:
    return _patterns(_rank, value, where)


def _compiled(pattern: str, where: str) -> re.Pattern:
    if REPEATED_GROUP.search(pattern) or len(REPEATS.findall(pattern)) > MOST_REPEATS:
        raise LoadError(
            f"{where} has the pattern {pattern!r}; expected a name with at most {MOST_REPEATS} "
            "repeats and no repeated group."
        )
    with foreign(where, f"has the pattern {pattern!r}", "a regular expression"):
        return re.compile(rf"(.*\.)?({pattern})$")


CHECKS = {
    "lora_alpha": ("alpha", _positive),
    "r": ("rank", _rank),
    "use_rslora": ("rslora", _flag),
    "alpha_pattern": ("alphas", _alphas),
    "rank_pattern": ("ranks", _ranks),
}
