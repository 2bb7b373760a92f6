"""Killed jobs and killed runs lose at most a unit, and the tables come out the same."""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

RUN = "{antithetic: {}, reference: {reps: 0}, exact: {reps: 0}, source_cdist: {reps: 0}}"
STUDY = {"run": RUN, "reps": "8", "block": "8", "eval": "{test_draws: 400000}"}


def start(project, config: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "snakemake", "science", "--cores", "1"]
    return subprocess.Popen(
        [*command, "--configfile", config],
        cwd=project.folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def wait_for_units(project, count: int) -> None:
    deadline = time.monotonic() + 60
    while len(project.trained()) < count:
        assert time.monotonic() < deadline, "no unit was finished within a minute"
        time.sleep(0.02)


def training_processes(run: subprocess.Popen) -> list[psutil.Process]:
    children = psutil.Process(run.pid).children(recursive=True)
    return [c for c in children if "scripts.engression.train" in " ".join(c.cmdline()[:4])]


@pytest.mark.parametrize("victim", ["the training job", "snakemake and its job"])
def test_tables_are_the_same_after_a_kill(fresh, victim, tmp_path):
    config = fresh.overlay(**STUDY)
    run = start(fresh, config)
    wait_for_units(fresh, 3)
    if victim == "the training job":
        for process in training_processes(run):
            process.kill()
        assert run.wait(60) != 0
    else:
        os.killpg(run.pid, signal.SIGKILL)
        run.wait(60)
    kept = fresh.trained()
    assert 3 <= len(kept) < 32
    assert not (fresh.folder / "results/engression/runs.parquet").exists()

    fresh.snakemake("--unlock", config=config)
    done = fresh.snakemake("science", config=config)
    assert done.returncode == 0, done.stderr + done.stdout
    interrupted = fresh.rows()

    assert not list((fresh.folder / "results").rglob("*.tmp")) or victim != "the training job"
    for path in (fresh.folder / "results/engression/units").rglob("*.json"):
        path.unlink()
    done = fresh.snakemake("science", "--forceall", config=config)
    assert done.returncode == 0, done.stderr + done.stdout
    assert fresh.rows() == interrupted
    assert len(fresh.trained()) == 32
