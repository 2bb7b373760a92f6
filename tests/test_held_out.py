"""Whatever is called a test was not trained on: what every split of every study has in common."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from scripts.deep_gpcm.data.fold import read_fold
from scripts.deep_gpcm.data.split import parts as folds_of
from scripts.deep_gpcm.folds import folded
from scripts.lib.faults import LoadError
from scripts.lib.parts import check_parts, rows_of
from scripts.lora_ablation.data.cell import parts_of
from scripts.lora_ablation.data.split import enough, split
from scripts.tep_bp.data.samples import Samples
from scripts.tep_bp.data.split import split as task_split

PARTS = ("train", "val", "test")
TRIES = 60  # random sizes, classes and seeds of each split


def whole(parts: dict, n: int) -> None:
    """The parts are disjoint, none is empty, and together they are all rows."""
    assert set(parts) == set(PARTS)
    assert all(len(rows) for rows in parts.values())
    assert sorted(np.concatenate(list(parts.values())).tolist()) == list(range(n))


def drawn(seed: int, low: int, high: int) -> tuple[np.random.Generator, int, np.ndarray]:
    """A generator, a number of rows, and a class for each."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(low, high))
    return rng, n, rng.integers(0, int(rng.integers(1, 8)), n)


@pytest.mark.parametrize("kind", ["original", "stratified", "grouped"])
def test_adapters_are_held_out(kind):
    made = 0
    for seed in range(TRIES):
        rng, n, y = drawn(seed, 1, 200)
        groups = [f"g{i}" for i in rng.integers(0, int(rng.integers(1, 30)), n)]
        try:
            labels = split(kind, [f"c{i}" for i in y], groups, seed=seed)
        except LoadError:
            assert kind != "original" or n < 11
            continue
        made += 1
        for share in (100, 50):
            parts = parts_of(labels.tolist(), share, seed)
            if share == 100:
                whole(parts, n)
            whole(rows_of(labels, PARTS, "a split"), n)
            assert not set(parts["train"]) & {*parts["val"].tolist(), *parts["test"].tolist()}
        if kind == "grouped":
            held = {name: {groups[i] for i in np.flatnonzero(labels == name)} for name in PARTS}
            assert not held["train"] & (held["val"] | held["test"])
            assert not held["val"] & held["test"]
    assert made > TRIES // 3


def test_eleven_adapters_are_the_fewest_of_which_no_part_is_empty():
    for n in range(11, 200):
        assert enough(n) == n
        whole(rows_of(split("original", ["x"] * n, [None] * n), PARTS, "a split"), n)


def test_students_are_held_out(tmp_path):
    made = 0
    for seed in range(TRIES):
        rng, n, _ = drawn(seed, 1, 60)
        folds, share = int(rng.choice([0, 2, 3, 5, 10])), float(rng.uniform(0.001, 0.5))
        try:
            found = folds_of(n, folds, share, seed, "a")
        except LoadError:
            assert n < max(folds, 4)
            continue
        made += 1
        for part in found:
            whole({name: np.flatnonzero(part == name) for name in PARTS}, n)
        if folds:
            tested = np.concatenate([np.flatnonzero(part == "test") for part in found])
            assert sorted(tested.tolist()) == list(range(n))
    assert made > TRIES // 2


def test_samples_are_held_out():
    made = 0
    for seed in range(TRIES):
        rng, n, y = drawn(seed, 2, 200)
        _, y = np.unique(y, return_inverse=True)
        own = int(rng.integers(0, n // 2)) if seed % 2 else 0
        try:
            parts = task_split(Samples("a", np.zeros((n, 2)), y, own), seed)
        except LoadError:
            continue
        made += 1
        whole(parts, n)
        assert not own or parts["test"].tolist() == list(range(n - own, n))
        assert all(set(y[rows]) == set(y) for rows in parts.values())
    assert made > TRIES // 3


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({"train": [0, 1], "val": [], "test": [2]}, "the part val is empty"),
        ({"train": [0, 1], "val": [1], "test": [2]}, "row 1 is in 2 of the parts"),
        ({"train": [0], "val": [1], "test": [3]}, "row 2 is in 0 of the parts"),
        ({"train": [0], "val": [-1], "test": [1, 2, 3]}, "1 rows that are none of the 4"),
        ({"train": [0], "val": [9], "test": [1, 2, 3]}, "1 rows that are none of the 4"),
    ],
)
def test_parts_that_overlap_or_leave_rows_out_are_refused(parts, said):
    parts = {name: np.array(rows, np.int64) for name, rows in parts.items()}
    with pytest.raises(LoadError, match=f"here: .*{said}"):
        check_parts(parts, 4, "here")


def fold_file(folder, split: list[str]):
    """Two answers of each of four students, and their parts, as a fold file holds them."""
    answers = {"student_id": np.repeat(range(4), 2), "t": [0, 1] * 4,
               "question_id": [1, 2] * 4, "response": [0, 1] * 4}  # fmt: skip
    pq.write_table(pa.table({**answers, "split": split}), folder / "0.parquet")
    pq.write_table(pa.table({"categories": [2, 2]}), folder / "items.parquet")
    return folder / "0.parquet", folder / "items.parquet"


@pytest.mark.parametrize(
    ("split", "said"),
    [
        (["train"] * 4 + ["val", "train", "test", "test"], "student 2 is in two parts"),
        (["train"] * 6 + ["test"] * 2, "the part val is empty"),
        (["train"] * 4 + ["val", "val", "smoke", "smoke"], "the part 'smoke' is unknown"),
    ],
)
def test_a_fold_whose_parts_are_no_split_is_refused(split, said, tmp_path):
    with pytest.raises(LoadError, match=said):
        read_fold(*fold_file(tmp_path, split))


def test_a_fold_as_the_workflow_writes_it_is_read(tmp_path):
    split = np.array(["train", "val", "test", "train"], object)
    fold, items = fold_file(tmp_path, np.repeat(split, 2).tolist())
    pq.write_table(pa.table(folded(pq.read_table(fold), split, 0)), fold)
    assert read_fold(fold, items).parts["val"].student.tolist() == [1]
