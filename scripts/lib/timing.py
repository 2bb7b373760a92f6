"""Clocks: exclusive phases of a loop, CPU seconds, peak memory."""

import os
import resource
import sys
import time
from collections import defaultdict
from pathlib import Path


class Phases:
    """Exclusive wall time by phase: `lap(name)` books the time since the last lap under `name`."""

    def __init__(self):
        self.seconds: dict[str, float] = defaultdict(float)
        self._name = ""
        self.begin()

    def begin(self) -> None:
        """Start the clocks, which run from the making on, once more."""
        self.wall_start = self._last = time.perf_counter()
        self.cpu_start = time.process_time()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.seconds[name] += now - self._last
        self._last, self._name = now, name

    def end(self) -> None:
        """Book what came after the last lap under its name; without any it is in `fit_s` alone."""
        if self._name:
            self.lap(self._name)
        else:
            self._last = time.perf_counter()

    def columns(self) -> dict[str, float]:
        """Row columns `fit_s`, `cpu_s` and one `<phase>_s` each; the phases add up to `fit_s`."""
        cpu_s = time.process_time() - self.cpu_start
        phases = {f"{name}_s": seconds for name, seconds in self.seconds.items()}
        return {"fit_s": self._last - self.wall_start, "cpu_s": cpu_s, **phases}


def peak_rss_mb() -> float:
    """Largest resident set of this process so far, in MB (10^6 bytes)."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6


def others_running(looks: int = 5, pause_s: float = 0.01) -> float:
    """Processes of anybody else that run or wait for a core now, the mean of a few looks.

    The load average would count for a minute what has ended. It is what there is outside Linux.
    """
    path = Path("/proc/stat")
    if not path.exists():
        return max(os.getloadavg()[0] - 1, 0.0)
    found = []
    for _ in range(looks):
        time.sleep(pause_s)
        running = path.read_text(encoding="ascii").partition("procs_running ")[2].split()[0]
        found.append(int(running) - 1)
    return sum(found) / looks
