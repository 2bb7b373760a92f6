"""What a run says while it goes: one line that moves on a terminal, a short line per job elsewhere.

Snakemake's own log is whole in its file under .snakemake/log. Whoever asks for more or less than
the default (--quiet, --verbose, --printshellcmds, --logger, a dry run) and whoever sends jobs to
other machines has Snakemake's own words on the screen as well.
"""

import logging
import os
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TextIO

from snakemake.logging import LogEvent

from scripts.lib.stage import SCREEN
from scripts.spine.cluster import on_cluster
from scripts.spine.last_words import at_exit, stops

# What Snakemake says of every run, or of every failed job, and what is said here in other words.
USUAL = re.compile(
    r"Config file |Assuming unrestricted|Building DAG|Using shell|host: |Select jobs"
    r"|Execute \d+ jobs|Conda environments: ignored|Removing output files of failed"
    r"|Shutting down|Exiting because a job execution failed|RuleException:\nCalledProcessError"
    r"|WorkflowError:\nAt least one job"
)
# A sentence of ours, and Snakemake's words around it: where in our rules it was said.
FRAMED = re.compile(
    r'WorkflowError in file "[^"]+", line \d+:\n(?P<sentence>.+)(\n  File "[^"]+", line .+)+\n?'
)


@dataclass
class Jobs:
    """Jobs of a run: how many, which run, how long those of a rule took. Times are seconds."""

    totals: Counter[str] = field(default_factory=Counter)
    running: dict[int, tuple[str, str, float]] = field(default_factory=dict)
    done: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    spent: Counter[str] = field(default_factory=Counter)
    first: float | None = None

    def begin(self, job: int, rule: str, wildcards: Mapping[str, str], now: float) -> None:
        """A job begins."""
        self.first = now if self.first is None else self.first
        self.running[job] = rule, " ".join([rule, *map(str, wildcards.values())]), now

    def end(self, job: int, now: float, failed: bool = False) -> str:
        """A job ends; its name with the seconds that it took."""
        rule, name, begun = self.running.pop(job)
        self.spent[rule] += 0 if failed else now - begun
        (self.failed if failed else self.done)[rule] += 1
        return f"{name} ({now - begun:.1f} s)"

    def left(self, now: float) -> float | None:
        """Seconds that the rest may take, at the pace of the jobs of the same rule; None before.

        A rule of which no job has ended is taken to be like the others.
        """
        ended = self.done.total()
        if not ended or self.first is None:
            return None
        common = sum(self.spent.values()) / ended
        pace = {rule: self.spent[rule] / self.done[rule] for rule in self.done}
        began = [(rule, now - begun) for rule, _, begun in self.running.values()]
        rest = Counter(self.totals)
        rest.subtract(self.done + self.failed + Counter(rule for rule, _ in began))
        work = sum(max(count, 0) * pace.get(rule, common) for rule, count in rest.items())
        work += sum(max(pace.get(rule, common) - since, 0) for rule, since in began)
        busy = sum(self.spent.values()) + sum(since for _, since in began)
        abreast = max(busy / max(now - self.first, 1e-9), 1)
        return work / abreast

    def state(self, now: float) -> str:
        """Jobs done, their share, what failed, and the time left."""
        done, total = self.done.total(), self.totals.total()
        words = [f"{done} of {total} jobs ({done / max(total, 1):.0%})"]
        if failed := self.failed.total():
            return f"{words[0]}, {failed} failed"
        left = self.left(now)
        return ", ".join(words if left is None or done == total else [*words, duration(left)])

    def line(self, now: float) -> str:
        """The state and what runs: a job by its name, several of a rule by their number."""
        rules = Counter(rule for rule, _, _ in self.running.values())
        names = {rule: name for rule, name, _ in self.running.values()}
        shown = [names[rule] if n == 1 else f"{n} {rule}" for rule, n in rules.items()]
        wait = "waiting for" if self.failed else "running"
        return f"{self.state(now)}{f'; {wait}: ' if shown else ''}{', '.join(shown)}"


def duration(seconds: float) -> str:
    """About how long, in words."""
    if seconds < 60:
        return "less than a minute left"
    return f"about {seconds / 60:.0f} min left"


class Terminal(logging.Handler):
    """Snakemake's events as one line (`moves`) or as lines; its warnings and errors in full."""

    def __init__(self, stream: TextIO, moves: bool, idle: Callable[[], None] = lambda: None):
        """`idle` is called where there is nothing to be done."""
        super().__init__()
        self.jobs, self.live = Jobs(), None
        self.stream, self.idle = stream, idle
        if moves:
            from rich.console import Console
            from rich.live import Live
            from rich.text import Text

            # Drawn when a job begins and once a second, no more: a measurement may run.
            self.live = Live(
                console=Console(file=stream), refresh_per_second=1, transient=True,
                redirect_stdout=False, redirect_stderr=False,
                get_renderable=lambda: Text(
                    self.jobs.line(time.monotonic()), no_wrap=True, overflow="ellipsis"
                ),
            )  # fmt: skip

    def say(self, text: str, style: str = "") -> None:
        """A line that stays."""
        if self.live is None:
            print(text, file=self.stream, flush=True)
        else:
            self.live.console.print(
                text, style=style, markup=False, highlight=False, soft_wrap=True
            )

    def emit(self, record: logging.LogRecord) -> None:
        """Say what a user has to know of an event of Snakemake."""
        try:
            self.heed(getattr(record, "event", None), record)
        except Exception:
            self.handleError(record)

    def heed(self, event: LogEvent | None, record: Any) -> None:
        """Take an event in, and say it if it has to be said."""
        now = time.monotonic()
        if event == LogEvent.RUN_INFO:
            self.jobs.totals.update({k: n for k, n in record.stats.items() if k != "total"})
            self.say(f"{self.jobs.totals.total()} jobs to run.")
            if self.live is not None:
                self.live.start()
        elif event == LogEvent.JOB_INFO:
            self.jobs.begin(record.jobid, record.rule_name, record.wildcards or {}, now)
            if self.live is not None:
                self.live.refresh()
        elif event == LogEvent.JOB_FINISHED and record.job_id in self.jobs.running:
            ended = self.jobs.end(record.job_id, now)
            if self.live is None:
                self.say(f"{time.strftime('%H:%M:%S')} {self.jobs.state(now)}: {ended}")
        elif event == LogEvent.JOB_ERROR:
            # Why it failed is said at the end (scripts/spine/last_words.py).
            if record.jobid in self.jobs.running:
                ended = self.jobs.end(record.jobid, now, failed=True)
                how, style = ("stopped", "") if stops else ("failed", "red")
                self.say(f"{time.strftime('%H:%M:%S')} {how}: {ended}", style)
        elif event in (None, LogEvent.ERROR, LogEvent.GROUP_ERROR):
            text = self.format(record)
            if text and text != "None" and not USUAL.match(text):
                styles = {logging.WARNING: "yellow", logging.ERROR: "red"}
                self.say(text, styles.get(record.levelno, ""))
                if text.startswith("Nothing to be done"):
                    self.idle()

    def close(self) -> None:
        """Take the line that moves away."""
        if self.live is not None:
            self.live.stop()
        super().close()


def unframed(record: logging.LogRecord) -> bool:
    """Leave of a fault that is told in one sentence the sentence alone: it says itself where."""
    if isinstance(record.msg, str) and (found := FRAMED.fullmatch(record.msg)):
        record.msg = found["sentence"]
    return True


def speak(workflow: Any) -> None:
    """Put these words in the place of Snakemake's on the screen, where those are the default."""
    manager = workflow.logger_manager
    asked = manager.settings
    usual = [h for h in manager.logger.handlers if h.name == "DefaultStreamHandler"]
    for handler in usual:
        handler.addFilter(unframed)
    other = asked.quiet or asked.verbose or asked.printshellcmds or asked.debug_dag or asked.dryrun
    if not usual or other or asked.stdout or on_cluster(workflow) or not workflow.is_main_process:
        return
    moves = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
    ours = Terminal(sys.stderr, moves, lambda: at_exit(workflow, failed=False))
    for theirs in usual:
        manager.logger.removeHandler(theirs)
        ours.setFormatter(theirs.formatter)
        for chosen in theirs.filters:
            ours.addFilter(chosen)
    manager.logger.addHandler(ours)
    os.environ[SCREEN] = os.devnull  # what jobs say is in their logs
