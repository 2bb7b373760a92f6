"""`python` in a job's shell while a run goes: `-m module ...` as a copy of the run's server.

scripts/spine/forkserver.py writes it beside its socket, with a first line that names the Python.
What it is not called for, and what the server does not take, is Python as usual. It imports little,
as every job pays for it.
"""

import json
import os
import signal
import socket
import sys


def main() -> None:
    words = sys.argv[1:]
    if words[:1] == ["-m"]:
        with socket.socket(socket.AF_UNIX) as server:
            forked(server, words[1:])
    os.execv(sys.executable, [sys.executable, *words])


def forked(server: socket.socket, words: list[str]) -> None:
    """End as the copy ends that runs a module with its arguments; return if there is none."""
    text = json.dumps([words, os.getcwd(), dict(os.environ)]).encode()
    try:
        server.connect(os.path.join(os.path.dirname(sys.argv[0]), "socket"))
        socket.send_fds(server, [len(text).to_bytes(8, "big")], [0, 1, 2])
        server.sendall(text)
        pid = int.from_bytes(server.recv(4), "big")
    except OSError:  # it is not ready yet, or has just ended
        return
    if not pid:
        return
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, frame: os.kill(pid, number))
    ended = server.recv(4)
    status = int.from_bytes(ended, "big", signed=True) if ended else 1
    # A shell says so of a process that a signal ended.
    os._exit(status if status >= 0 else 128 - status)


main()
