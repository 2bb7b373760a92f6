"""Which adapters train, which stop the training, and which are kept for the test."""

import logging
import math
from collections import Counter
from collections.abc import Sequence

import numpy as np

from scripts.lib.faults import LoadError
from scripts.lib.parts import check_parts
from scripts.lora_ablation.specs import SplitKind

PARTS = ("train", "val", "test")
FEWEST = 11  # adapters; of fewer the shares below leave nobody to validate with


def enough(adapters: int) -> int:
    """The number of adapters, if a split leaves none of its parts empty; else LoadError."""
    if adapters < FEWEST:
        raise LoadError(
            f"The source has {adapters} adapters; a split into train, val and test needs {FEWEST} "
            "or more."
        )
    return adapters


def split(
    kind: SplitKind,
    labels: Sequence[str],
    groups: Sequence[str | None],
    test_size: float = 0.3,
    final_size: float = 0.67,
    seed: int = 42,
) -> np.ndarray:
    """ "train", "val" or "test" for every adapter.

    `test_size` of the adapters are held out; `final_size` of these are the test, the others the
    validation set. Kinds: `original` (docs/studies/lora_ablation.md, Split), `stratified` (equal
    shares of every class), `grouped` (a group, the leaf concept, lies on one side only).
    Raises LoadError where the adapters do not allow the kind, or a part would be empty.
    """
    parts = np.full(enough(len(labels)), "train")
    if kind == "grouped" and (missing := sum(group is None for group in groups)):
        raise LoadError(
            f"A grouped split needs every adapter's group; {missing} of {len(groups)} have none."
        )
    halve = {"original": _random, "stratified": _stratified, "grouped": _grouped}[kind]
    # What a half keeps alike: classes, groups, or nothing.
    alike = np.asarray(groups if kind == "grouped" else labels, object)
    try:
        train, held_out = halve(alike, test_size, seed)
        val, test = halve(alike[held_out], final_size, seed)
    except ValueError as error:  # in the numbers of a half, which the user has never seen
        raise LoadError(_impossible(kind, alike, test_size, final_size)) from error
    parts[held_out[val]], parts[held_out[test]] = "val", "test"
    split_rows = {"train": train, "val": held_out[val], "test": held_out[test]}
    check_parts(split_rows, len(labels), f"The {kind} split of {len(labels)} adapters")
    return parts


def check_classes(labels: list[str], parts: list[str]) -> None:
    """LoadError unless training sees every class, of two or more, and the test has two or more.

    A class that validation or the test lacks is named in the log: every metric is still defined.
    """
    classes = sorted(set(labels))
    if len(classes) < 2:
        raise LoadError(f"All adapters are of class {classes[0]!r}; expected two classes or more.")
    trained = {k for k, part in zip(labels, parts, strict=True) if part == "train"}
    if lost := sorted(set(classes) - trained):
        raise LoadError(
            f"Class {lost[0]!r} has no adapter in the training split; "
            "use more adapters or the split 'stratified'."
        )
    for name in ("val", "test"):
        held_out = {k for k, part in zip(labels, parts, strict=True) if part == name}
        if name == "test" and len(held_out) < 2:
            raise LoadError(
                f"All adapters of the test split are of class {min(held_out)!r}, and whoever says "
                "so is always right; use more adapters or the split 'stratified'."
            )
        if lost := sorted(set(classes) - held_out):
            logging.warning(
                "The %s split has no adapter of %d of the %d classes (%s).",
                *(name, len(lost), len(classes), ", ".join(lost)),
            )


def _random(alike: np.ndarray, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rest and drawn share, the same rows as `datasets.Dataset.train_test_split` draws."""
    drawn = math.ceil(share * len(alike))
    order = np.random.default_rng(seed).permutation(len(alike))
    return order[drawn:], order[:drawn]


def _stratified(alike: np.ndarray, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    from sklearn.model_selection import train_test_split

    rows = np.arange(len(alike))
    return tuple(train_test_split(rows, test_size=share, stratify=alike, random_state=seed))


def _grouped(alike: np.ndarray, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    from sklearn.model_selection import GroupShuffleSplit

    halves = GroupShuffleSplit(n_splits=1, test_size=share, random_state=seed)
    return next(halves.split(alike, groups=alike.astype(str)))


def _impossible(kind: SplitKind, alike: np.ndarray, test_size: float, final_size: float) -> str:
    """Why all adapters cannot be split so."""
    counts = Counter(alike)
    if kind == "grouped":
        return (
            f"A grouped split of {len(alike)} adapters in {len(counts)} groups is impossible, as "
            "each part needs a group of its own; use more groups."
        )
    held_out = math.ceil(test_size * len(alike))
    val = held_out - math.ceil(final_size * held_out)
    rarest, rows = min(counts.items(), key=lambda item: item[1])
    return (
        f"A stratified split of {len(alike)} adapters into {len(counts)} classes is impossible: "
        f"each part needs every class, {val} of them validate and class {rarest!r} has {rows}; "
        "use more adapters or the split 'original'."
    )
