"""Killed jobs and killed runs lose at most a unit, and the tables come out the same."""

import os
import signal

import pytest

pytestmark = pytest.mark.spread

OFF = "{run: {reps: 0}}"
ARMS = f"{{reference: {OFF}, truth: {OFF}, exact: {OFF}, source_cdist: {OFF}}}"
STUDY = {"arms": ARMS, "reps": "8", "block": "8", "eval": "{test_draws: 400000}"}


# Random kills in every study: tests/integrity/test_histories.py.
@pytest.mark.parametrize(
    "victim",
    ["the training job", pytest.param("snakemake and its job", marks=pytest.mark.slow)],
)
def test_tables_are_the_same_after_a_kill(fresh, victim, tmp_path):
    config = fresh.overlay(**STUDY)
    run = fresh.start("science", config=config)
    fresh.wait_for_units(3)
    if victim == "the training job":
        for process in fresh.training_processes(run):
            process.kill()
        assert run.wait(60) != 0
    else:
        os.killpg(run.pid, signal.SIGKILL)
        run.wait(60)
    kept = fresh.trained()
    assert 3 <= len(kept) < 32
    assert not (fresh.results / "runs.parquet").exists()

    fresh.snakemake("--unlock", config=config)
    fresh.make("science", config=config)
    interrupted = fresh.rows()

    assert not list((fresh.folder / "results").rglob("*.tmp")) or victim != "the training job"
    fresh.forget_units()
    fresh.make("science", "--forceall", config=config)
    assert fresh.rows() == interrupted
    assert len(fresh.trained()) == 32
