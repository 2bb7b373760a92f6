"""What grows with the number of files is no argument, is looked at once, and is not copied."""

import json
import tracemalloc

import numpy as np
import pytest

from scripts.lib import inherited as module
from scripts.lib import provenance as origin
from scripts.lib.inherited import inherited
from scripts.lib.job import JOB
from scripts.lora_ablation.data import cell, folder
from scripts.lora_ablation.data.store import write_family
from scripts.lora_ablation.specs import Column
from scripts.spine.keys import LONGEST
from tests.lora_files import count, fingerprints, read, save_folder, small


def test_no_argument_of_a_command_grows_with_the_number_of_files(fresh):
    """One argument holds 131,072 characters on Linux; aggregation reads all run files."""
    config = fresh.overlay(reps="400", axes="{law: [normal], n: [16, 24]}")
    done = fresh.snakemake("science", "--dry-run", "--printshellcmds", config=config)
    assert done.returncode == 0, done.stderr
    said = "Shell command: "
    lines = (done.stdout + done.stderr).splitlines()
    commands = [line.partition(said)[2] for line in lines if said in line]
    assert len(commands) > 800
    assert max(map(len, commands)) < LONGEST + 1_000
    (told,) = [text for text in commands if "scripts.spine.aggregate" in text]
    job = fresh.folder / told.partition("@")[2].split("'")[0].split(" ")[0]
    assert job.stat().st_size > 2 * LONGEST  # a control
    assert len(json.loads(job.read_text())["input"]["files"]) > 400


@pytest.fixture
def kept(monkeypatch, tmp_path):
    """A folder of its own for what is inherited."""
    monkeypatch.setattr(module, "FOLDER", tmp_path)


def test_a_job_on_a_cluster_takes_over_what_its_run_found(kept):
    found = iter([["a"], ["b"], ["c"]])
    assert inherited(lambda: next(found), "x", plans=False) == ["a"]  # nothing was kept
    assert inherited(lambda: next(found), "x", plans=True) == ["b"]
    assert inherited(lambda: next(found), "x", plans=False) == ["b"]
    assert inherited(lambda: ["other"], "y", plans=False) == ["other"]
    assert inherited(lambda: next(found), "x", plans=True) == ["c"]  # each run looks anew
    assert inherited(lambda: next(found), "x", plans=False) == ["c"]


def test_a_job_that_is_told_the_commit_does_not_ask_git(monkeypatch):
    def asked(*words, **options):
        raise AssertionError("git was asked")

    monkeypatch.setattr(origin.subprocess, "run", asked)
    monkeypatch.setattr(JOB, "commit", {"commit": "abc", "dirty": False})
    origin.provenance.cache_clear()
    assert origin.provenance()["commit"] == "abc"
    origin.provenance.cache_clear()
    origin.commit.cache_clear()
    monkeypatch.setattr(JOB, "commit", {})
    with pytest.raises(AssertionError, match="git was asked"):  # a control
        origin.provenance()


@pytest.mark.parametrize("labels", ["csv", "folder"])
def test_a_job_looks_at_the_files_of_its_own_adapters_only(labels, monkeypatch, tmp_path):
    source = save_folder(small(adapters=40), tmp_path)
    source |= {} if labels == "csv" else {"labels": labels}
    looked = []
    for name in ("is_file", "is_dir", "stat", "open"):
        was = getattr(folder.Path, name)

        def counted(self, *words, was=was, **options):
            if self.suffix == folder.ENDING:
                looked.append(self)
            return was(self, *words, **options)

        monkeypatch.setattr(folder.Path, name, counted)
    assert count(source) == 40
    assert looked == []
    shard = read(source, 42, 4, 6)
    assert len(shard.names) == 2
    assert len(set(looked)) <= 3  # and the first, which says what is expected
    fingerprints(source, [(0, 20), (20, 40)])
    assert len(set(looked)) == 40  # a control


def test_features_of_a_cell_stand_in_memory_once(tmp_path):
    """Shards are read one after the other, so the peak is the result and a shard."""
    rng, names = np.random.default_rng(0), [f"t{i}.lora.down.weight" for i in range(8)]
    files, wanted = [], []
    for family, k in (("first", 5), ("second", 3)):
        (tmp_path / family).mkdir()
        numbers = rng.standard_normal((20, 200, 8 * k), np.float32)
        wanted.append(numbers.reshape(4000, 8, k))
        for shard, block in enumerate(numbers):
            files.append(tmp_path / family / f"{shard:02d}.parquet")
            write_family(files[-1], family, k, np.arange(200), [block])
    layout = cell.Layout(tuple(names), ((1, 1),) * 8)
    columns = [Column(family="first", position=p, number=f"a{p}") for p in range(5)]
    columns += [Column(family="second", position=p, number=f"b{p}") for p in (2, 0)]
    tracemalloc.start()
    found = cell.features(files, layout, list(range(8)), columns, legacy_cond=False)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    expected = np.concatenate([wanted[0], wanted[1][..., [2, 0]]], axis=2).reshape(4000, -1)
    assert np.array_equal(found, expected)
    assert peak < 1.3 * found.nbytes
