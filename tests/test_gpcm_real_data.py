"""Real graded answers come from the registry as pinned, or not at all."""

import hashlib
import zipfile
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from scripts.deep_gpcm import fetch
from scripts.deep_gpcm.data import matrix
from scripts.lib.faults import LoadError
from tests.gpcm_files import by_student, load, outputs, read, refusal
from tests.stages import one_sentence, run_stage

FETCH = "deep_gpcm/fetch.py"
TABLE = {"table": "mathematics_1"}
MATHS = {"kind": "irtorch", "table": "mathematics_1"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, downloaded once."""
    try:
        return fetch.wheel(tmp_path_factory.mktemp("wheel"))
    except fetch.RegistryError as error:
        pytest.skip(f"The package registry is out of reach: {error}")


@pytest.fixture
def table(wheel, tmp_path):
    """A function that unpacks a table of the wheel."""

    def unpack(name):
        path = tmp_path / f"{name}.pt"
        path.write_bytes(fetch.member(wheel, name))
        return path

    return unpack


@pytest.mark.parametrize(
    ("name", "persons", "levels", "mean", "sd"),
    [
        ("mathematics_1", 1008, [9, 12, 4, 3], 25.72, 12.11),
        ("mathematics_2", 1401, [9, 12, 3, 4], 25.54, 12.61),
    ],
)
def test_the_tests_of_mathematics_are_those_that_were_described(
    table, name, persons, levels, mean, sd
):
    found = read(MATHS | {"table": name}, 0, table(name))
    assert len(found.students) == persons
    assert len(found.items) == 28
    assert np.bincount(found.items["categories"])[2:].tolist() == levels
    totals = np.bincount(found.student, found.response)
    assert totals.mean() == pytest.approx(mean, abs=0.005)
    assert totals.std() == pytest.approx(sd, abs=0.005)
    assert found.students["theta"].isna().all()


def test_everybody_answers_the_items_in_the_order_of_the_test(table):
    path = table("mathematics_1")
    found, expected = read(MATHS, 0, path), torch.load(path, weights_only=True).numpy()
    assert all(np.array_equal(q, range(1, 29)) for q in by_student(found.question, found.student))
    assert np.array_equal(found.response.reshape(1008, 28), expected)
    assert np.array_equal(found.t, found.question - 1)


def test_thresholds_have_a_column_for_the_item_with_most_categories(table):
    items = read(MATHS, 0, table("mathematics_1")).items
    assert list(items.columns[4:]) == ["beta_1", "beta_2", "beta_3", "beta_4"]


def test_the_stages_fetch_and_load_one_after_the_other(wheel, monkeypatch, tmp_path):
    # The stage downloads by itself; here from the folder of the wheel that is there already.
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheel.parent))
    path = tmp_path / "maths.pt"
    assert run_stage(monkeypatch, FETCH, TABLE, {}, {"table": path}) is None
    assert {found.name for found in tmp_path.iterdir()} == {"maths.pt", ".maths.pt.seal"}
    assert load(monkeypatch, MATHS, tmp_path / "out", fetched=(path,)) is None
    assert pq.read_metadata(outputs(tmp_path / "out")["interactions"]).num_rows == 1008 * 28


def test_a_registry_out_of_reach_is_one_sentence_and_no_file(monkeypatch, tmp_path):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    out = tmp_path / "out"
    said = run_stage(monkeypatch, FETCH, TABLE, {}, {"table": out / "maths.pt"})
    sentence = one_sentence(said, out)
    assert "irtorch==0.5.6 cannot be downloaded" in sentence


class Bomb:
    """A pickle that leaves a trace if it is ever loaded."""

    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return (Path.touch, (self.trace,))


def forged(folder, content: bytes):
    """A wheel with other contents, and its SHA-256."""
    path = folder / "irtorch-0.5.6-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{matrix.FOLDER}/mathematics_1.pt", content)
    return path, hashlib.sha256(path.read_bytes()).hexdigest()


def test_another_wheel_or_another_table_in_it_is_refused(monkeypatch, tmp_path):
    path, digest = forged(tmp_path, b"something else")
    with pytest.raises(LoadError, match=f"whl: has the SHA-256 {digest}; expected a1ee1442"):
        fetch.member(path, "mathematics_1")
    monkeypatch.setattr(fetch, "WHEEL", digest)
    with pytest.raises(LoadError, match=r"mathematics_1\.pt: has the SHA-256 .*; expected f526cff"):
        fetch.member(path, "mathematics_1")
    good = hashlib.sha256(b"something else").hexdigest()
    monkeypatch.setitem(fetch.TABLES, "mathematics_1", good)
    assert fetch.member(path, "mathematics_1") == b"something else"


def test_a_file_that_is_not_the_pinned_table_is_refused_without_being_loaded(monkeypatch, tmp_path):
    trace, path = tmp_path / "trace", tmp_path / "table.pt"
    assert "table.pt: cannot be read" in refusal(monkeypatch, MATHS, tmp_path, fetched=(path,))
    torch.save(Bomb(trace), path)
    said = refusal(monkeypatch, MATHS, tmp_path, fetched=(path,))
    assert "table.pt: has the SHA-256" in said
    # Even with the right checksum a pickle of anything else is not loaded.
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setitem(matrix.TABLES, "mathematics_1", digest)
    with pytest.raises(LoadError, match="cannot be read"):
        read(MATHS, 0, path)
    assert not trace.exists()
    leave, given = Bomb(trace).__reduce__()
    leave(*given)
    assert trace.exists()


def test_a_table_that_was_not_fetched_is_refused(monkeypatch, tmp_path):
    assert "mathematics_1 has to be fetched" in refusal(monkeypatch, MATHS, tmp_path)
