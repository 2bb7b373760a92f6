"""Files are whole or absent, sealed by the job that makes them, and damage is found."""

import json
import math
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from scripts.lib import files
from scripts.lib.files import replacing
from scripts.lib.job import JOB, Job
from scripts.lib.seals import fault, read_seal, seal_path
from scripts.lib.spec import array_digest
from scripts.lib.training_job import TrainingJob
from scripts.lib.units import alone, finished, unit_folder
from tests.integrity.histories import DAMAGES
from tests.project import ROOT


@pytest.fixture
def job(tmp_path, monkeypatch):
    """A job that makes two files and a folder below tmp_path."""
    names = ("a/one.parquet", "b/one.parquet", "a/two.parquet", "folder")
    makes = [str(tmp_path / name) for name in names]
    running = Job(key="key", results=str(tmp_path), output={"made": makes})
    for name, value in vars(running).items():
        monkeypatch.setattr(JOB, name, value)
    for path in map(Path, makes[:-1]):
        with replacing(path) as temporary:
            temporary.write_bytes(path.relative_to(tmp_path).as_posix().encode() * 50)
    with replacing(tmp_path / "folder") as temporary:
        (temporary / "below").mkdir(parents=True)
        (temporary / "below/x").write_text("x")
        (temporary / "y").write_text("y")
    return tmp_path


def said(folder: Path, name: str = "a/one.parquet", key: str = "key", **options) -> str:
    return fault(folder / name, name, key, **options) or ""


def test_what_a_job_makes_is_sealed_and_nothing_else(job):
    assert [said(job, name) for name in ("a/one.parquet", "b/one.parquet", "folder")] == [""] * 3
    with replacing(job / "other") as temporary:
        temporary.write_text("x")
    assert not seal_path(job / "other").exists()
    assert not list(job.rglob("*.tmp"))


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("how", DAMAGES)
def test_damage_is_found_whatever_it_is(job, how, seed):
    DAMAGES[how](job / "a/one.parquet", random.Random(seed))
    assert said(job)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("how", ["truncate", "empty", "flip", "delete"])
def test_damage_of_a_seal_is_found_or_harmless(job, how, seed):
    """A flipped bit of white space says the same."""
    before = read_seal(job / "a/one.parquet")
    DAMAGES[how](seal_path(job / "a/one.parquet"), random.Random(seed))
    assert said(job) or read_seal(job / "a/one.parquet") == before


def test_a_neighbour_with_its_seal_is_found_even_of_the_same_job(job):
    for path in (lambda p: p, seal_path):
        shutil.copy(path(job / "b/one.parquet"), path(job / "a/one.parquet"))
    assert said(job) == "is a copy of b/one.parquet"


def test_a_file_of_another_state_is_found(job):
    assert "other code, data or settings" in said(job, key="another")


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: (folder / "y").write_text("z"),
        lambda folder: (folder / "y").rename(folder / "z"),
        lambda folder: (folder / "new").write_text(""),
        lambda folder: (folder / "below/x").unlink(),
    ],
    ids=["edited", "renamed", "added", "removed"],
)
def test_a_folder_is_its_files_with_their_names_and_bytes(job, change):
    change(job / "folder")
    assert said(job, "folder")


def test_snakemakes_time_stamp_in_a_folder_does_not_count(job):
    (job / "folder/.snakemake_timestamp").touch()
    assert not said(job, "folder")


def test_large_files_are_compared_by_size_where_only_a_look_is_asked_for(job):
    path = job / "a/one.parquet"
    path.write_bytes(b"x" * path.stat().st_size)
    assert "bytes are not those" in said(job)
    assert not said(job, largest=10)
    path.write_bytes(b"x")
    assert "has 1 bytes" in said(job, largest=0)


def test_a_failed_write_leaves_the_old_file_and_no_rubbish(tmp_path):
    target = tmp_path / "table.csv"
    target.write_text("old")

    def fail_halfway():
        with replacing(target) as temporary:
            temporary.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_halfway()
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_bytes_are_on_the_disk_before_their_name_and_the_name_before_the_end(job, monkeypatch):
    """What a power loss leaves is one of the states that a kill leaves."""
    events = []
    sync, rename = os.fsync, os.replace
    monkeypatch.setattr(
        files.os, "fsync", lambda f: (events.append(os.readlink(f"/proc/self/fd/{f}")), sync(f))
    )
    monkeypatch.setattr(files.os, "replace", lambda a, b: (events.append(b), rename(a, b)))
    path = job / "a/one.parquet"
    with replacing(path) as temporary:
        temporary.write_text("new")
    assert events == [str(temporary), path, str(temporary), seal_path(path), str(path.parent)]


def run_stage(reads: dict, *, makes: Path) -> subprocess.CompletedProcess:
    """A job of the stage `draw` of TEP, which reads one table."""
    job = {
        "spec": {},
        "key": "k",
        "results": str(makes.parent),
        "input": {"tables": list(reads)},
        "output": {"figures": str(makes)},
        "keys": reads,
    }
    return subprocess.run(
        [sys.executable, "-m", "scripts.tep_bp.draw", json.dumps(job)],
        cwd=ROOT, capture_output=True, text=True, timeout=100,
    )  # fmt: skip


def test_a_job_names_what_is_wrong_with_its_input_in_a_sentence_and_removes_it(job):
    good, bad = (str(job / f"{name}/one.parquet") for name in "ab")
    Path(bad).write_bytes(b"half")
    done = run_stage({good: "key", bad: "key"}, makes=job / "figures.json")
    assert done.returncode == 1
    assert done.stderr.strip() == (
        f"{bad} is damaged: it has 4 bytes, 650 were written; "
        "removed, the next call makes it again."
    )
    assert Path(good).exists()
    assert not Path(bad).exists()
    assert not (job / "figures.json").exists()


UNITS = [["normal", 100, 0], ["normal", 100, 1]]
RESULT = {"x": 0.1 + 0.2, "y": math.nan, "z": 1e-320, "w": math.inf}


def trained(
    folder: Path, units: list = UNITS, data: str = "d", stacks: list | None = None
) -> tuple[list, list]:
    """Results of the units, and which of them were computed."""
    calls = []

    def compute(stack: list) -> list:
        calls.extend(stack)
        return [RESULT] * len(stack)

    return list(finished(stacks or alone(units), compute, folder, lambda unit: data)), calls


def test_a_finished_unit_is_not_computed_again_and_keeps_every_bit(tmp_path):
    first, _ = trained(tmp_path, UNITS[:1])
    again, calls = trained(tmp_path)
    assert calls == UNITS[1:]
    assert repr(again) == repr(first * 2)


def test_of_a_stack_what_is_missing_is_computed_and_all_is_kept_before_the_first_is_given(tmp_path):
    first, _ = trained(tmp_path, UNITS[1:])
    assert trained(tmp_path, stacks=[UNITS]) == (first * 2, UNITS[:1])
    assert trained(tmp_path, stacks=[UNITS])[1] == []
    others = [["other", 1, 0], ["other", 1, 1]]
    found = finished([others], lambda stack: [RESULT] * 2, tmp_path, lambda unit: "d")
    next(found)  # a kill now would lose nothing
    assert trained(tmp_path, others)[1] == []


def test_a_unit_of_other_data_is_another_unit(tmp_path):
    trained(tmp_path)
    assert trained(tmp_path, data="e")[1] == UNITS
    assert trained(tmp_path, data="d")[1] == []


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("how", ["truncate", "empty", "flip", "delete"])
def test_a_damaged_unit_is_computed_again(tmp_path, how, seed):
    first, _ = trained(tmp_path)
    file = sorted(tmp_path.glob("*.json"))[0]
    DAMAGES[how](file, random.Random(seed))
    again, calls = trained(tmp_path)
    assert calls == UNITS[:1]
    assert repr(again) == repr(first)
    assert trained(tmp_path)[1] == []


class Lesson(TrainingJob):
    """A job of some study."""

    lr: float


def test_the_folder_of_units_is_named_for_all_that_can_change_one(monkeypatch):
    spec = Lesson(study="s", arm="a", seed=1, units=UNITS, lr=1.0)
    assert unit_folder(spec) is None  # where no job runs, nothing is kept
    for name, value in {"results": "out", "code": "1", "threads": 1}.items():
        monkeypatch.setattr(JOB, name, value)
    here = unit_folder(spec)
    assert here.parent == Path("out/s/units/a")
    assert here == unit_folder(spec.model_copy(update={"units": []}))
    for name, value in {"lr": 2.0, "seed": 2}.items():
        assert here != unit_folder(spec.model_copy(update={name: value}))
    for name, value in {"code": "2", "threads": 2}.items():
        with monkeypatch.context() as patched:
            patched.setattr(JOB, name, value)
            assert here != unit_folder(spec)
    for name in ("instruction_set", "computing_versions"):
        with monkeypatch.context() as patched:
            patched.setattr(f"scripts.lib.units.{name}", lambda *device: "another")
            assert here != unit_folder(spec)


def test_arrays_are_told_apart_by_type_shape_and_where_they_end():
    x = np.arange(6.0)
    others = [x.astype(np.float32), x.reshape(2, 3), -x, x[::-1]]
    digests = [array_digest(x), *(array_digest(other) for other in others)]
    digests += [array_digest(x[:2], x[2:]), array_digest(x[:3], x[3:])]
    assert len(set(digests)) == len(digests)
    assert array_digest(x.reshape(2, 3).T) == array_digest(x.reshape(2, 3).T.copy())
