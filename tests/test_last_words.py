"""A fault ends a run: its sentence is the last line, and no job begins after it."""

import os
import signal

import pytest

from scripts.spine.last_words import MOST, STOPPED, last_words
from tests.elsewhere import said, snakemake
from tests.test_elsewhere import LEAST

pytestmark = pytest.mark.spread
TASK, OTHER = "results/tep_bp/tasks/mine.npz", "results/engression/data/reps-000-001.parquet"
BROKEN = LEAST | {
    "studies": ["tep_bp", "engression"],
    "tep_bp": {"task": "mine", "tasks": {"mine": {"kind": "npz", "path": "samples.npz"}}},
}


def test_the_sentence_of_a_failed_load_ends_the_run_and_nothing_follows_it(tmp_path):
    (tmp_path / "samples.npz").write_bytes(b"PK no archive")
    done = snakemake(tmp_path, BROKEN, TASK, OTHER, "--prioritize", TASK)
    assert done.returncode != 0
    *_, where, sentence = said(done)
    log = "results/tep_bp/logs/load/mine.log"
    assert where == f"Failed: tep_bp_load (log: {log})"
    assert sentence.startswith("samples.npz: ")
    assert sentence == (tmp_path / log).read_text().strip().splitlines()[-1]
    assert not (tmp_path / OTHER).exists()


def test_with_keep_going_the_rest_is_made_and_the_sentence_is_still_the_last(tmp_path):
    (tmp_path / "samples.npz").write_bytes(b"PK no archive")
    done = snakemake(tmp_path, BROKEN, TASK, OTHER, "--prioritize", TASK, "--keep-going")
    assert done.returncode != 0
    assert said(done)[-1].startswith("samples.npz: ")
    assert (tmp_path / OTHER).exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_its_user_stops_has_not_failed_and_says_how_to_go_on(fresh, number, tmp_path):
    """Control-C reaches all of its processes, as here."""
    with open(tmp_path / "said", "w+") as file:
        run = fresh.start("science", stderr=file)
        fresh.wait_for_units(1)
        os.killpg(run.pid, number)
        assert run.wait(60) != 0
        file.seek(0)
        lines = file.read().strip().splitlines()
    assert lines[-1] == STOPPED
    assert not any("failed" in line.lower() for line in lines)
    fresh.make("science")


def log(folder, name, text):
    (folder / name).write_text(text, encoding="utf-8")
    return ("rule", folder / name)


def test_jobs_that_say_the_same_are_told_once(tmp_path):
    told = last_words([log(tmp_path, f"{i}", "12:00:00 begun\na.csv: is empty.\n") for i in "abc"])
    assert told == f"Failed: rule (log: {tmp_path / 'a'}) and 2 more\na.csv: is empty."


def test_of_many_faults_some_are_told(tmp_path):
    told = last_words([log(tmp_path, f"{i}", f"{i}.csv: is empty.\n") for i in range(MOST + 5)])
    assert told.splitlines()[0] == f"{MOST + 5} different faults, {MOST} of them:"
    assert len(told.splitlines()) == 1 + 2 * MOST


@pytest.mark.parametrize("text", ["", "12:00:00 10 of 80 units\n", None])
def test_a_job_that_was_killed_is_told_too(tmp_path, text):
    failed = ("rule", tmp_path / "missing") if text is None else log(tmp_path, "a", text)
    assert last_words([failed]).splitlines()[1] in (
        "It left no log.",
        "It was ended from outside, without a word: out of memory or time, or killed.",
    )
