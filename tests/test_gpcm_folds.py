"""Folds: every student is tested once, is in one part only, and keeps the order of the answers."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.model_selection import KFold

from scripts.deep_gpcm.data.fold import read_fold
from scripts.deep_gpcm.data.split import held_out, parts
from scripts.lib.faults import LoadError
from tests.gpcm_files import TINY, A, load, outputs
from tests.stages import one_sentence, run_stage

SPEC = {"seed": 42, "data": "a", "folds": 5, "validation": 0.1}


def loaded(monkeypatch, folder, source=A):
    assert load(monkeypatch, source, folder) is None
    return outputs(folder)


def split(monkeypatch, files, folder, **changes):
    """Run folds.py; its fold files, and what it says on exit."""
    spec = SPEC | changes
    paths = [folder / f"{fold}.parquet" for fold in range(max(1, spec["folds"]))]
    read = {name: files[name] for name in ("interactions", "students")}
    return paths, run_stage(monkeypatch, "deep_gpcm/folds.py", spec, read, {"folds": paths})


def students_of(table: pa.Table, part: str) -> set[int]:
    rows = np.array(table["split"].to_pylist()) == part
    return set(table["student_id"].to_numpy()[rows].tolist())


@pytest.fixture
def folds(monkeypatch, tmp_path):
    """Interactions of A and its five folds, as tables."""
    files = loaded(monkeypatch, tmp_path)
    paths, said = split(monkeypatch, files, tmp_path / "folds")
    assert said is None
    return pq.read_table(files["interactions"]), [pq.read_table(path) for path in paths]


def test_a_fold_file_has_the_types_that_its_readers_rely_on(folds):
    for fold, table in enumerate(folds[1]):
        assert {name: str(table.schema.field(name).type) for name in table.column_names} == {
            "student_id": "int32",
            "t": "int16",
            "question_id": "int32",
            "response": "int8",
            "split": "dictionary<values=string, indices=int8, ordered=0>",
            "fold": "int8",
        }
        assert set(table["fold"].to_pylist()) == {fold}


def test_every_student_is_tested_once_and_is_in_one_part_of_a_fold(folds):
    tests = [students_of(table, "test") for table in folds[1]]
    assert sorted(student for test in tests for student in test) == list(range(800))
    for table, test in zip(folds[1], tests, strict=True):
        train, val = students_of(table, "train"), students_of(table, "val")
        assert (len(train), len(val), len(test)) == (576, 64, 160)
        assert len(train | val | test) == 800


def test_rows_of_a_fold_are_the_answers_as_loaded_in_their_order(folds):
    for table in folds[1]:
        assert table.select(folds[0].column_names).equals(folds[0].replace_schema_metadata(None))


def test_folds_are_those_of_scikit_learn_with_the_seed_as_its_state():
    everybody = np.arange(800)
    expected = [test for _, test in KFold(5, shuffle=True, random_state=42).split(everybody)]
    found = held_out(800, 5, 42)
    assert all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))
    assert not np.array_equal(found[0], held_out(800, 5, 43)[0])


def test_no_folds_is_the_split_of_the_original_whose_first_students_train(monkeypatch, tmp_path):
    files = loaded(monkeypatch, tmp_path, A | {"students": 804})
    (path,), said = split(monkeypatch, files, tmp_path / "folds", folds=0)
    assert said is None
    table = pq.read_table(path)
    assert students_of(table, "test") == set(range(643, 804))
    assert len(students_of(table, "val")) == 64


def test_validation_students_have_a_stream_of_their_own_for_each_fold_and_data_set():
    def val(**changes):
        found = parts(**(dict(students=100, **SPEC) | changes))
        return [np.flatnonzero(part == "val").tolist() for part in found]

    assert val() == val()
    assert val(data="b") != val()
    assert val(seed=43) != val()
    assert len({tuple(students) for students in val()}) == 5
    # Places among the training students, so that folds of the same labels differ by stream only.
    first, second = parts(**dict(students=100, **SPEC))[:2]
    places = [np.flatnonzero(part[part != "test"] == "val") for part in (first, second)]
    assert not np.array_equal(*places)


@pytest.mark.parametrize(
    ("share", "students"), [(0.1, 8), (0.29, 23), (0.001, 1), (0.0125, 1), (0.05, 4)]
)
def test_the_validation_share_is_rounded_down_but_never_to_nobody(share, students):
    part = parts(100, 5, share, 42, "a")[0]
    assert (part == "val").sum() == students


def test_a_share_is_rounded_down_as_decimals_are():
    # In floating point 0.29 * 100 is below 29.
    assert (parts(125, 5, 0.29, 42, "a")[0] == "val").sum() == 29


def test_windows_of_a_student_stay_together(monkeypatch, tmp_path):
    files = loaded(monkeypatch, tmp_path, A | {"window": 12})
    paths, _ = split(monkeypatch, files, tmp_path / "folds")
    fold = read_fold(paths[0], files["item_table"])
    students = {part: set(found.student.tolist()) for part, found in fold.parts.items()}
    assert not students["train"] & students["test"]
    assert not students["train"] & students["val"]
    assert len(fold.parts["train"].student) > len(students["train"])
    assert fold.parts["test"].lengths.max() == 12


def test_a_fold_is_read_as_the_sequences_that_were_loaded(monkeypatch, tmp_path):
    files = loaded(monkeypatch, tmp_path, TINY)
    paths, _ = split(monkeypatch, files, tmp_path / "folds", folds=3)
    fold = read_fold(paths[0], files["item_table"])
    answers = pq.read_table(files["interactions"]).to_pandas()
    rows = answers[answers["student_id"].isin(fold.parts["test"].student)]
    assert fold.parts["test"].question.tolist() == rows["question_id"].tolist()
    assert fold.parts["test"].position.tolist() == rows["t"].tolist()
    assert fold.categories == 4
    assert fold.questions == 5


REFUSED = {
    "more folds than students": ({"folds": 7}, ["6 students", "folds: 7", "at least 7"]),
    "one fold": ({"folds": 1}, ["One fold", "2 or more, or 0"]),
    "nobody to train": ({"folds": 3, "validation": 1.0}, ["Fold 0 of a", "4 students"]),
}


@pytest.mark.parametrize("case", REFUSED)
def test_impossible_splits_are_one_sentence_and_no_file(case, monkeypatch, tmp_path):
    changes, said = REFUSED[case]
    files = loaded(monkeypatch, tmp_path, TINY)
    out = tmp_path / "folds"
    sentence = one_sentence(split(monkeypatch, files, out, **changes)[1], out)
    assert all(part in sentence for part in said), sentence


def test_a_single_student_cannot_be_split():
    with pytest.raises(LoadError, match="1 students; a split with folds: 0 needs at least 2"):
        parts(1, 0, 0.1, 42, "a")
