"""Fresh processes for a measurement, forked from servers that have imported the study.

There is a server for each number of threads, because libraries read it when they are loaded. In
each turn of a contestant a server forks as many processes as the contestant has workers. Each of
them computes its units unmeasured first, until its temporaries have their pages, and then timed. So
all that a process can be lucky or unlucky in is drawn anew in every round.
"""

import gc
import importlib
import math
import os
import resource
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import get_context, set_start_method
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from scripts.lib.faults import ContractError
from scripts.lib.plan import Call
from scripts.lib.stage import THREAD_VARIABLES, use_threads
from scripts.lib.timing import peak_rss_mb

Inputs = dict[str, list[Path]]

# A timed call lasts as long: it computes its units again and again where once takes less.
CALL_S = 0.2
# Of a longer call only the first unit is computed before, unmeasured: the rest make it steady.
LONG_S = 2.0
SPARE = 1.1  # repetitions beyond those that the unmeasured ones ask for
CALLS = 1  # timed calls of a process: another process tells more than another call


@dataclass(frozen=True)
class Done:
    """What one process returns of a timed call.

    `rows` of all repetitions, peak memory in 10^6 bytes, page faults of the whole call.
    """

    rows: list[dict[str, Any]]
    tensor_peak_mb: float | None
    rss_mb: float
    minor_faults: int
    major_faults: int


@dataclass(frozen=True)
class Timed:
    """A timed call: wall seconds, how often its units were computed, what its processes return."""

    wall_s: float
    inner_repeats: int
    parts: list[Done]


class Process:
    """A process that answers one message after the other until its owner ends or lets it end.

    `start(*told)` makes, in the process, the function of a message that answers. A forked process
    closes `inherited`: with copies of its siblings' pipes they would outlive their owner.
    """

    def __init__(self, method: str, start: Callable, *told: Any, inherited: Iterable = ()):
        context = get_context(method)
        self.pipe, other = context.Pipe()
        ends = [self.pipe, *inherited] if method == "fork" else []
        self.process = context.Process(target=_answer, args=(other, ends, start, told))
        self.process.start()
        other.close()

    def ask(self, *message: Any) -> None:
        """Send a message, whose answer `reply` waits for."""
        self.pipe.send(message)

    def reply(self) -> Any:
        """The answer to the last message; raises what it raised."""
        try:
            answer = self.pipe.recv()
        except EOFError:
            self.process.join()
            code = self.process.exitcode
            raise ContractError(f"A measured process ended with exit code {code}.") from None
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def end(self) -> None:
        """Let it end."""
        self.pipe.close()
        self.process.join()


def _answer(pipe: Connection, ends: list[Connection], start: Callable, told: tuple) -> None:
    """In a new process: answer until nobody asks any more."""
    for end in ends:
        end.close()
    with suppress(EOFError, OSError, KeyboardInterrupt):
        respond = start(*told)
        while True:
            message = pipe.recv()
            try:
                answer = respond(*message)
            except Exception as error:
                error.add_note(traceback.format_exc())
                answer = error
            pipe.send(answer)
    os._exit(0)  # else libraries take a second to end


def measured_process(module: str, call: Call, units: list, inputs: Inputs) -> Callable:
    """In a measured process: compute the first units so many times.

    For 0 times: get ready, and tell the names of all imported modules.
    """
    use_threads(call.threads)
    run = importlib.import_module(module).run

    def respond(times: int, first: int | None, trace: bool) -> Done | list[str]:
        job = call.job | {"units": units[:first]}
        if not times:  # garbage that is there already is in nobody's time
            gc.collect()
            gc.freeze()
            return list(sys.modules)
        before, peak_mb = resource.getrusage(resource.RUSAGE_SELF), None
        if trace:
            from scripts.lib.memory import traced_tensor_peak

            rows, peak_mb = traced_tensor_peak(lambda: run(job, inputs))
        else:
            rows = [row for _ in range(times) for row in run(job, inputs)]
        after = resource.getrusage(resource.RUSAGE_SELF)
        minor, major = after.ru_minflt - before.ru_minflt, after.ru_majflt - before.ru_majflt
        return Done(rows, peak_mb, peak_rss_mb(), minor, major)

    return respond


def together(
    processes: list[Process], times: int, first: int | None = None, trace: bool = False
) -> Timed:
    """One call of a contestant: its processes compute their (first) units; all are waited for."""
    for message in ((0, None, False), (times, first, trace)):
        start = time.perf_counter()
        for process in processes:
            process.ask(*message)
        parts = [process.reply() for process in processes]
    return Timed(time.perf_counter() - start, times, parts)


def import_all(names: Iterable[str]) -> None:
    """In a server: import what a measured process did at its first call, for those that follow."""
    missing = [name for name in names if name not in sys.modules]
    for name in missing:
        with suppress(Exception):  # some modules can be imported by their packages alone
            importlib.import_module(name)
    if missing:
        # What the imports made is searched for garbage in no measured process.
        gc.collect()
        gc.freeze()


def fork_server(module: str) -> Callable[[Call, Inputs, int | None], list[Timed]]:
    """In a server: pay the imports before anything is timed."""
    # Measured processes would start others, those of a DataLoader, as the server was started.
    set_start_method(None, force=True)
    importlib.import_module(module)
    import_all(["torch._dynamo"])  # by the first optimizer of a process

    def respond(call: Call, inputs: Inputs, repeats: int | None) -> list[Timed]:
        """The timed calls of fresh processes; `repeats` of the units in a call, if it is known."""
        processes: list[Process] = []
        with ExitStack() as ends:
            for units in shares(call.units, call.workers):
                told = (module, call, units, inputs)
                pipes = [process.pipe for process in processes]
                processes.append(Process("fork", measured_process, *told, inherited=pipes))
                ends.callback(processes[-1].end)
            share = len(call.units) / len(processes)
            once_s = share * together(processes, 1, first=1).wall_s
            # A contestant's very first call imports; each process's first use of a GPU prepares it.
            if once_s >= LONG_S and (repeats is None or call.job.get("device") == "cuda"):
                once_s = share * together(processes, 1, first=1).wall_s
            if once_s < LONG_S:
                once_s = min(once_s, together(processes, 1).wall_s)
            repeats = repeats or (1 if once_s >= CALL_S else math.ceil(SPARE * CALL_S / once_s))
            if call.trace_memory:
                timed = [together(processes, 1, trace=True)]
            else:
                timed = [together(processes, repeats) for _ in range(CALLS)]
            processes[0].ask(0, None, False)
            import_all(processes[0].reply())
        return timed

    return respond


@contextmanager
def fork_servers(threads: Iterable[int], module: str) -> Iterator[dict[int, Process]]:
    """A server for each number of threads, ready to be asked for calls."""
    os.environ["KINETO_LOG_LEVEL"] = "99"  # the profiler announces itself in every log
    servers, known = {}, {name: os.environ.get(name) for name in THREAD_VARIABLES}
    for number in sorted(set(threads)):
        # NumPy's BLAS too: its idle threads spin and would be timed with the next unit.
        os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(number)))
        servers[number] = Process("spawn", fork_server, module)
    for name, value in known.items():
        os.environ.pop(name, None) if value is None else os.environ.update({name: value})
    try:
        yield servers
    finally:
        for server in servers.values():
            server.end()


def shares(units: list, workers: int) -> list[list]:
    """Units dealt to the workers in turn; no worker gets an empty share."""
    return [units[i::workers] for i in range(min(workers, len(units)))]
