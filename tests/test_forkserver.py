"""A job that is a copy of the run's server does what a process of its own does."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from snakemake.shell import shell

from scripts.lib.code import ROOT
from scripts.lib.stage import THREAD_VARIABLES, call
from scripts.spine.forkserver import Call, usual, write_client
from tests.project import Project, copy_code, heed_interrupts

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="it forks on Linux alone")
TOLD = """import os, sys, threading, time
print(os.getppid(), os.getcwd(), sys.argv, __name__)
print("torch" in sys.modules, "scripts" in sys.modules, threading.active_count())
print(os.environ["NUMBA_CACHE_DIR"], time.process_time() < 1, file=sys.stderr)
"""
WAIT = "import os, time; open(f'{os.getpid()}.pid', 'w').close(); time.sleep(60)"


class Running:
    """A server, and the Python that its clients call, with modules of a folder of their own."""

    def __init__(self, folder: Path):
        self.modules, self.place = folder / "modules", folder / "server"
        self.modules.mkdir()
        self.place.mkdir()
        self.client = write_client(self.place)
        path = os.pathsep.join([str(ROOT), str(self.modules)])
        self.environment = usual(os.environ) | {"PYTHONPATH": path, "PYTHONSAFEPATH": "1"}
        command = [sys.executable, "-m", "scripts.spine.forkserver", str(self.place)]
        self.process = subprocess.Popen(
            command, env=self.environment, stdin=subprocess.PIPE, preexec_fn=heed_interrupts
        )
        until(lambda: (self.place / "socket").exists() and self.called("-c", "").returncode == 0)

    def module(self, name: str, text: str) -> str:
        (self.modules / f"{name}.py").write_text(text)
        return name

    def begin(self, *words: str, cwd: Path = ROOT, **environment: str) -> subprocess.Popen:
        """A client, running."""
        of = self.environment | {"NUMBA_CACHE_DIR": "here"} | environment
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        told = {"env": of, "cwd": cwd, "preexec_fn": heed_interrupts}
        return subprocess.Popen([self.client, *words], **told, **pipes)

    def called(self, *words: str, **options: str) -> subprocess.CompletedProcess:
        """A client, at its end."""
        running = self.begin(*words, **options)
        out, err = running.communicate(timeout=60)
        return subprocess.CompletedProcess(words, running.returncode, out, err)

    def waiting(self, folder: Path) -> tuple[subprocess.Popen, psutil.Process]:
        """A client whose copy waits, and the copy."""
        client = self.begin("-m", self.module("wait", WAIT), cwd=folder)
        until(lambda: list(folder.glob("*.pid")))
        return client, psutil.Process(int(next(folder.glob("*.pid")).stem))


def until(true) -> None:
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    running = Running(tmp_path_factory.mktemp("server"))
    yield running
    running.process.communicate(timeout=60)


def test_a_copy_has_the_words_folder_streams_and_environment_of_its_call(server, tmp_path):
    done = server.called("-m", server.module("told", TOLD), "a b", "{}", cwd=tmp_path)
    words = [str(server.modules / "told.py"), "a b", "{}"]
    assert done.stdout == f"{server.process.pid} {tmp_path} {words} __main__\nTrue False 1\n"
    assert done.stderr == "here True\n"
    assert done.returncode == 0


@pytest.mark.parametrize(
    ("text", "status", "said"),
    [
        ("raise SystemExit(3)", 3, ""),
        ("raise SystemExit('one sentence.')", 1, "one sentence.\n"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", 128 + signal.SIGKILL, ""),
    ],
)
def test_a_call_ends_as_its_copy_ends(server, text, status, said):
    done = server.called("-m", server.module("ends", text))
    assert (done.returncode, done.stderr) == (status, said)


def test_an_error_is_told_with_its_trace(server):
    done = server.called("-m", server.module("fails", "1 / 0"))
    assert done.returncode == 1
    assert done.stderr.endswith("ZeroDivisionError: division by zero\n")


def test_modules_are_those_of_the_moment(server):
    for text in ("first", "second"):
        server.module("named", f"NAME = {text!r}")
        name = server.module("prints", "import named; print(named.NAME)")
        assert server.called("-m", name, PYTHONDONTWRITEBYTECODE="").stdout == f"{text}\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_the_client_reaches_the_copy(server, tmp_path, number):
    client, copy = server.waiting(tmp_path)
    client.send_signal(number)
    client.communicate(timeout=60)
    assert client.returncode == 128 + number
    assert not copy.is_running()


def test_a_copy_whose_client_is_killed_is_ended(server, tmp_path):
    client, copy = server.waiting(tmp_path)
    client.kill()
    client.communicate()
    copy.wait(60)


@pytest.mark.parametrize("other", [{"OMP_NUM_THREADS": "2"}, {"MKL_CBWR": "COMPATIBLE"}])
def test_what_has_another_environment_is_python_as_usual(server, other):
    done = server.called("-m", server.module("told", TOLD), **other)
    assert done.stdout.split()[0] == str(os.getpid())
    assert done.returncode == 0
    text = "import os; print(os.getppid())"
    assert server.called("-c", text).stdout.strip() == str(os.getpid())


def test_the_end_of_a_run_ends_its_copies_and_leaves_nothing(tmp_path):
    server = Running(tmp_path)
    client, copy = server.waiting(tmp_path)
    server.process.stdin.close()
    client.communicate(timeout=60)
    assert client.returncode == 128 + signal.SIGKILL
    assert not copy.is_running()
    assert server.process.wait(60) == 0
    assert not server.place.exists()


def test_what_snakemake_gives_a_job_of_one_thread_is_the_usual_environment(tmp_path, monkeypatch):
    for name in THREAD_VARIABLES:
        monkeypatch.setenv(name, "7")
    told = tmp_path / "told"
    shell(call("none").partition("python ")[0] + f"env -0 > {told}", threads=1)
    given = dict(entry.split("=", 1) for entry in told.read_text().rstrip("\0").split("\0"))
    assert Call([], "", given, []).is_usual(usual(os.environ))
    assert not Call([], "", given, []).is_usual(os.environ)


def test_a_killed_run_leaves_no_job_behind(fresh):
    run = fresh.start("science", config=fresh.overlay(eval="{test_draws: 3000000}", block="2"))

    def copies() -> list[psutil.Process]:
        with suppress(psutil.ZombieProcess):  # it ended while one looked
            family = psutil.Process(run.pid).children(recursive=True)
            servers = [one for one in family if "scripts.spine.forkserver" in one.cmdline()]
            return [copy for one in servers for copy in one.children()]
        return []

    fresh.wait_for_units(1)
    until(copies)
    jobs, units = copies(), fresh.trained()
    run.kill()
    run.wait()
    psutil.wait_procs(jobs, timeout=60)
    assert fresh.trained() == units


def test_a_run_with_copies_makes_the_rows_of_one_without(fresh, tmp_path, monkeypatch):
    place = tmp_path / "temporary"
    place.mkdir()
    monkeypatch.setenv("TMPDIR", str(place))
    fresh.science()
    assert list(place.glob("isospeed-*")) == []
    without = Project(copy_code(tmp_path / "without"))
    without.edit("Snakefile", "    start(workflow)\n", "    pass\n")
    without.science()
    assert fresh.rows() == without.rows()
