"""Jobs on this machine begin in a copy of one process that has imported the packages already.

A job takes a second or more to import PyTorch and what else it needs: in a run of many short jobs
most of the time. While a run goes, `python` in its shells is scripts/spine/fork_client.py, which
hands its arguments, working directory, environment and open files to the process below. That forks,
and the copy runs the module as `python -m` does; the client ends as the copy ends. Modules of this
repository are imported by the copy, so an edit counts as ever. Commands stay the same, and run by
themselves: whatever goes wrong here, the client is Python as usual.

A job whose environment differs in more than PASSED (another number of threads) begins as usual,
as libraries read it when they are loaded. So do the workers of a measurement, and jobs elsewhere.
"""

import atexit
import gc
import importlib
import json
import os
import runpy
import select
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.lib.stage import ALLOCATOR, SCREEN, THREAD_VARIABLES
from scripts.spine.cluster import on_cluster

# Most jobs need the first ones; they begin as usual until all are there. Numba is none of them, as
# it reads where its cache is when it is loaded.
PACKAGES = (
    "numpy", "pydantic", "xxhash", "torch", "torch.nn.functional", "pyarrow.parquet",
    "scipy.special", "pandas", "scipy.stats", "matplotlib.figure",
    "matplotlib.backends.backend_agg", "jinja2",
)  # fmt: skip
# What a job may have otherwise: nothing that is imported here reads it when it is loaded.
PASSED = {
    "_",
    "PWD",
    "OLDPWD",
    "SHLVL",
    "TMPDIR",
    "TMP",
    "TEMPDIR",
    "TEMP",
    "NUMBA_CACHE_DIR",
    SCREEN,
}
# Fewer jobs than this are done before the packages are there.
FEW = 6


def start(workflow: Any) -> None:
    """Let the jobs of a run begin so, where it is safe and worth it: on Linux, in a run of many."""
    if sys.platform != "linux" or on_cluster(workflow) or len(workflow.dag) < FEW:
        return
    folder = Path(tempfile.mkdtemp(prefix="isospeed-"))
    # It may forbid programs, or its path be too long for a first line.
    try:
        works = not subprocess.run([write_client(folder), "-c", ""], check=False).returncode
    except OSError:
        works = False
    if not works:
        return shutil.rmtree(folder)
    os.environ["PATH"] = f"{folder}{os.pathsep}{os.environ['PATH']}"
    command = [sys.executable, "-m", "scripts.spine.forkserver", str(folder)]
    server = subprocess.Popen(command, env=usual(os.environ), stdin=subprocess.PIPE)
    # This end of the pipe stays open, here alone, until this process has ended in whatever way.
    atexit.register(server.stdin.close)
    return None


def write_client(folder: Path) -> Path:
    """`python` as shells find it first where a folder is in their path."""
    client = folder / "python"
    code = Path(__file__).with_name("fork_client.py").read_text(encoding="utf-8")
    client.write_text(f"#!{sys.executable} -IS\n{code}", encoding="utf-8")
    client.chmod(0o700)
    return client


def usual(environment: Mapping[str, str]) -> dict[str, str]:
    """What a job of one thread has in this environment."""
    allocator = {name: str(value) for name, value in ALLOCATOR.items()}
    return {**environment, **allocator, **dict.fromkeys(THREAD_VARIABLES, "1")}


@dataclass
class Call:
    """What a client asks for, and its standard streams (descriptors)."""

    words: list[str]
    folder: str
    environment: dict[str, str]
    streams: list[int]

    def is_usual(self, environment: Mapping[str, str]) -> bool:
        """Whether its environment is this one, but for what is passed on."""
        theirs = {k: v for k, v in self.environment.items() if k not in PASSED}
        return theirs == {k: v for k, v in environment.items() if k not in PASSED}

    def run(self) -> None:
        """Be `python -m <words>`, as if called there."""
        for number, stream in enumerate(self.streams):
            os.dup2(stream, number)
            os.close(stream)
        os.chdir(self.folder)
        os.environ.clear()
        os.environ.update(self.environment)
        tempfile.tempdir = None
        # Of ours it imports what is there now.
        for name in [name for name in sys.modules if name.partition(".")[0] == "scripts"]:
            del sys.modules[name]
        sys.argv = ["-m", *self.words[1:]]
        runpy.run_module(self.words[0], run_name="__main__", alter_sys=True)


def received(client: socket.socket) -> Call:
    """What a client sends: the length of a text with its streams, then the text."""
    head, streams, _, _ = socket.recv_fds(client, 8, 3)
    text = client.recv(int.from_bytes(head, "big"), socket.MSG_WAITALL)
    return Call(*json.loads(text), streams)


class Server:
    """Forks for each client until standard input ends, and tells it how its copy ended.

    The end of a run, also of one that was killed, is the end of its copies.
    """

    def __init__(self, folder: Path):
        self.copies: set[int] = set()
        self.events = selectors.DefaultSelector()
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(str(folder / "socket"))
        self.socket.listen(64)
        self.events.register(self.socket, selectors.EVENT_READ, self.accept)
        self.events.register(sys.stdin, selectors.EVENT_READ, self.close)

    def serve(self) -> Call | None:
        """The call, in each copy; None here, when the run and all copies have ended."""
        while self.events.get_map():
            # One at a time, as it may take another one away.
            key, _ = self.events.select()[0]
            if call := key.data():
                return call
        return None

    def close(self) -> None:
        """The run has ended: nobody calls any more, or wants what a killed run had begun."""
        for pid in self.copies:
            os.kill(pid, signal.SIGKILL)
        self.events.unregister(sys.stdin)
        self.events.unregister(self.socket)

    def accept(self) -> Call | None:
        """The call of a client, in the copy that is to run it; None here."""
        client, _ = self.socket.accept()
        try:
            call = received(client)
        except (OSError, ValueError):  # it was killed
            return client.close()
        copied = call.is_usual(os.environ)
        if copied and not (pid := os.fork()):
            for key in list(self.events.get_map().values()):
                os.close(key.fd)
            client.close()
            return call
        for stream in call.streams:
            os.close(stream)
        if not copied:
            return client.close()
        self.copies.add(pid)
        ended = os.pidfd_open(pid)

        def reap() -> None:
            status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            self.copies.discard(pid)
            with suppress(OSError):
                client.sendall(status.to_bytes(4, "big", signed=True))
            self.events.unregister(ended)
            with suppress(KeyError):
                self.events.unregister(client)
            os.close(ended)
            client.close()

        def abandon() -> None:
            self.events.unregister(client)
            os.kill(pid, signal.SIGKILL)

        self.events.register(ended, selectors.EVENT_READ, reap)
        self.events.register(client, selectors.EVENT_READ, abandon)
        with suppress(OSError):
            client.sendall(pid.to_bytes(4, "big"))
        return None


def main(folder: Path) -> Call | None:
    """The call, in each copy; None at the end of the server."""
    # Who interrupts a run interrupts every process of it; copies are to be ended as jobs are.
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, signal.SIG_IGN) for number in numbers}
    call = None
    if imported():
        gc.freeze()
        call = Server(folder).serve()
    if call is None:
        shutil.rmtree(folder)
    for number, handler in before.items():
        signal.signal(number, handler)
    return call


def imported() -> bool:
    """Import the packages; False if the run has ended already, or a thread was started that a copy
    would be without."""
    for package in PACKAGES:
        importlib.import_module(package)
        if select.select([sys.stdin], [], [], 0)[0]:
            return False
    main = str(os.getpid())
    tasks = [task for task in Path("/proc/self/task").iterdir() if task.name != main]
    # jemalloc, which comes with pyarrow, starts its thread again in a copy.
    return {(task / "comm").read_text() for task in tasks} <= {"jemalloc_bg_thd\n"}


if __name__ == "__main__":
    if CALL := main(Path(sys.argv[1])):
        CALL.run()
