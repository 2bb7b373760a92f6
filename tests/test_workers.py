"""Measured processes: the study is imported, threads are as asked, the rest as in any script."""

import multiprocessing
import os
import subprocess
import sys

import pytest

from scripts.lib.workers import THREAD_VARIABLES, Call, start_workers

STUDY = "scripts.engression.models.losses"


@pytest.fixture
def pools(monkeypatch):
    """Workers of contestants with one and two threads, and with two processes."""
    for name in THREAD_VARIABLES:  # what start_workers sets is taken back
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("KINETO_LOG_LEVEL", "0")
    asked = {"threads": (2, 1), "reference": (1, 1), "jobs": (1, 2)}
    labels = {"workload": "w", "where": "", "trace_memory": False, "arm": "a"}
    labels |= {"round": 0, "units": [], "job": {}}
    calls = [Call(contestant=c, threads=t, workers=w, **labels) for c, (t, w) in asked.items()]
    pools = start_workers(calls, STUDY)
    yield pools
    for group in pools.values():
        for pool in group:
            pool.shutdown()


def ask(pools, name, question, *words):
    return [pool.submit(question, *words).result() for pool in pools[name]]


def test_each_worker_is_a_process_of_its_own_with_its_threads(pools):
    processes = [pid for name in pools for pid in ask(pools, name, os.getpid)]
    assert len({*processes, os.getpid()}) == 5
    threads = {name: ask(pools, name, os.getenv, "OMP_NUM_THREADS") for name in pools}
    assert threads == {"threads": ["2"], "reference": ["1"], "jobs": ["1", "1"]}


def test_a_worker_has_imported_the_study(pools):
    for name in pools:
        assert all(ask(pools, name, eval, f"'{STUDY}' in __import__('sys').modules"))


def test_a_worker_starts_processes_as_a_script_does(pools):
    # Not as it was started itself: a DataLoader's workers would import everything anew.
    words = [sys.executable, "-c", "import multiprocessing as m; print(m.get_start_method())"]
    default = subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()
    for name in pools:
        assert set(ask(pools, name, multiprocessing.get_start_method)) == {default}
