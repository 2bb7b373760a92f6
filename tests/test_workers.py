"""Measured processes: the study is imported, threads are as asked, the rest as in any script."""

import multiprocessing
import os
import platform
import subprocess
import sys

import pytest

from scripts.lib.stage import ALLOCATOR, call
from scripts.lib.workers import THREAD_VARIABLES, fork_servers, shares
from tests.test_measure import turn

STUDY = "tests.measured_study"


@pytest.fixture(scope="module")
def servers():
    """Servers for one and two threads."""
    with fork_servers([2, 1, 1], STUDY) as servers:
        yield servers


def ask(server, question: str):
    """What a measured process answers to a question about itself."""
    (timed,) = turn(server, "a", repeats=1, ask=question)
    return timed.parts[0].rows[0]["answer"]


def test_there_is_a_server_for_each_number_of_threads(servers):
    assert list(servers) == [1, 2]
    assert len({os.getpid(), *(server.process.pid for server in servers.values())}) == 3
    for number, server in servers.items():
        for name in THREAD_VARIABLES:
            assert ask(server, f"__import__('os').environ['{name}']") == str(number)
        assert ask(server, "__import__('torch').get_num_threads()") == 1, "as its calls ask"


def test_the_environment_of_this_process_stays_as_it_was(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    with fork_servers([], STUDY):
        assert (os.environ["OMP_NUM_THREADS"], os.environ.get("MKL_NUM_THREADS")) == ("7", None)


def test_a_measured_process_starts_processes_as_a_script_does(servers):
    # Not as it was started itself: a DataLoader's workers would import everything anew.
    words = [sys.executable, "-c", "import multiprocessing as m; print(m.get_start_method())"]
    default = subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()
    for server in servers.values():
        assert ask(server, "__import__('multiprocessing').get_start_method()") == default


def test_garbage_of_the_imports_is_searched_in_no_measured_process(servers):
    assert ask(servers[1], "__import__('gc').get_freeze_count()") > 10_000
    assert ask(servers[1], "len(__import__('gc').get_objects())") < 5_000


def test_servers_end_with_their_owner():
    with fork_servers([1], STUDY) as servers:
        process = servers[1].process
        turn(servers[1], "a", repeats=1)
    assert not process.is_alive()
    assert process not in multiprocessing.active_children()


def test_no_worker_gets_an_empty_share():
    assert shares([1, 2, 3], 2) == [[1, 3], [2]]
    assert shares([1], 4) == [[1]]


# Page faults of a block of 20 MB that is written a second time, after it was freed.
AGAIN = """
import ctypes, resource
faults = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_minflt
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
libc.free.argtypes, libc.memset.argtypes = [ctypes.c_void_p], [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]
for _ in range(2):
    before = faults()
    block = libc.malloc(20_000_000)
    libc.memset(block, 1, 20_000_000)
    libc.free(block)
print(faults() - before)
"""  # noqa: E501


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other allocators read no setting")
def test_memory_that_was_freed_stays_with_a_job_from_the_first():
    def faults(**settings: str) -> int:
        plain = {name: value for name, value in os.environ.items() if name not in ALLOCATOR}
        words = [sys.executable, "-c", AGAIN]
        done = subprocess.run(words, env=plain | settings, capture_output=True, text=True)
        return int(done.stdout)

    pages = 20_000_000 // os.sysconf("SC_PAGE_SIZE")
    assert faults(**{name: str(value) for name, value in ALLOCATOR.items()}) < pages / 10
    assert faults() > pages / 2, "by itself glibc maps the block and gives it back"


def test_every_command_has_the_setting_of_the_allocator_in_front():
    words = call("spine.measure", "NUMBA_CACHE_DIR=x").split()
    settings = [f"{name}={value}" for name, value in ALLOCATOR.items()]
    assert words[: len(settings) + 3] == [*settings, "NUMBA_CACHE_DIR=x", "python", "-m"]
