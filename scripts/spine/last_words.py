"""The last lines of a run: what went wrong and where, or where the page is and what it says."""

import atexit
import csv
import re
import signal
import sys
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

MOST = 8  # failed jobs that are told
TAIL = 12  # lines of the log before the last one
PROGRESS = re.compile(r"\d\d:\d\d:\d\d ")  # with which a line of a job's log begins
STOPPED = "Stopped. What is done is kept: the same call goes on from there."
# What had failed at each signal by which a user stopped this run.
stops: list[set] = []


def heed_stops(workflow: Any) -> None:
    """Remember what has failed when a user stops the run: jobs that end by it have not."""
    stops.clear()
    if threading.current_thread() is not threading.main_thread():
        return  # signals are for the main thread, where Snakemake is called from another
    for number in (signal.SIGINT, signal.SIGTERM):
        before = signal.getsignal(number)

        def heed(number: int, frame: FrameType | None, before: Any = before) -> None:
            stops.append(set(workflow.scheduler.failed))
            before(number, frame)

        if callable(before):  # not where it is ignored, as in a background shell
            signal.signal(number, heed)


def at_exit(workflow: Any, failed: bool) -> None:
    """Say how a run ended, once Snakemake has said all."""
    if failed:
        ended = stops[0] if stops else workflow.scheduler.failed
        jobs = [job for one in ended for job in (one if one.is_group() else [one])]
        text = last_words([(job.rule.name, Path(path)) for job in jobs for path in job.log])
        text = text or (STOPPED if stops else "")
    else:
        text = page_words(workflow.dag.jobs)
    if text:
        atexit.register(lambda: print(text, file=sys.stderr, flush=True))


def page_words(jobs: Iterable[Any]) -> str:
    """Where the page is, and what it says first; nothing if none of the jobs makes it."""
    for job in jobs:
        if job.rule.name == "report" and Path(job.output.headlines).exists():
            with open(job.output.headlines, encoding="utf-8", newline="") as file:
                return "\n".join(
                    [*told(list(csv.DictReader(file))), f"Page: {Path(job.output.page).absolute()}"]
                )
    return ""


def told(rows: Sequence[dict[str, str]]) -> list[str]:
    """A line for each study of headlines.csv, in columns."""
    names = ("title", "ratio", "proof", "controls")
    cells = [
        [*(row[name] for name in names), row["workload" if row["value"] else "words"]]
        for row in rows
    ]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    ]
    return ["Cost of the reference over cost of the result:", *lines] if lines else []


def last_words(failed: Iterable[tuple[str, Path]]) -> str:
    """Rule, log, its tail and last line of each failed job; those that say the same, once."""
    alike: dict[str, list[tuple[str, Path]]] = {}
    for rule, log in sorted(failed):
        alike.setdefault(sentence(log), []).append((rule, log))
    lines = []
    for said, jobs in list(alike.items())[:MOST]:
        rule, log = jobs[0]
        more = f" and {len(jobs) - 1} more" if len(jobs) > 1 else ""
        lines += [*tail(log), f"Failed: {rule} (log: {log}){more}", said]
    if len(alike) > MOST:
        lines.insert(0, f"{len(alike)} different faults, {MOST} of them:")
    return "\n".join(lines)


def written(log: Path) -> list[str]:
    """The lines of a log that are not empty."""
    text = log.read_text(encoding="utf-8", errors="replace")
    return [line.rstrip() for line in text.split("\n") if line.strip()]


def tail(log: Path) -> list[str]:
    """What stands before the last line of a log and is no progress: the way to a fault."""
    try:
        before = [f"  {line}" for line in written(log)[:-1] if not PROGRESS.match(line)]
    except OSError:
        return []
    return ["  ...", *before[-TAIL:]] if len(before) > TAIL else before


def sentence(log: Path) -> str:
    """The last line of a job's log, which is its fault; a job that was killed has none."""
    try:
        lines = written(log)
    except OSError:
        return "It left no log."
    if not lines or PROGRESS.match(lines[-1]):
        return "It was ended from outside, without a word: out of memory or time, or killed."
    return lines[-1].strip()
