"""What went wrong, as the last lines of a run: Snakemake's own end says only that something did."""

import atexit
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

MOST = 8  # failed jobs that are told
PROGRESS = re.compile(r"\d\d:\d\d:\d\d ")  # with which a line of a job's log begins


def repeat_at_exit(workflow: Any) -> None:
    """Say why the failed jobs of a run failed, once Snakemake has said all."""
    failed = getattr(workflow.scheduler, "failed", ())
    jobs = [job for one in failed for job in (one if one.is_group() else [one])]
    told = [(job.rule.name, Path(path)) for job in jobs for path in job.log]
    atexit.register(lambda: print(last_words(told), file=sys.stderr, flush=True))


def last_words(failed: Iterable[tuple[str, Path]]) -> str:
    """Rule, log and last sentence of each failed job; jobs that say the same are told once."""
    told: dict[str, list[tuple[str, Path]]] = {}
    for rule, log in sorted(failed):
        told.setdefault(sentence(log), []).append((rule, log))
    lines = []
    for said, jobs in list(told.items())[:MOST]:
        rule, log = jobs[0]
        more = f" and {len(jobs) - 1} more" if len(jobs) > 1 else ""
        lines += [f"Failed: {rule} (log: {log}){more}", said]
    if len(told) > MOST:
        lines.insert(0, f"{len(told)} different faults, {MOST} of them:")
    return "\n".join(lines)


def sentence(log: Path) -> str:
    """The last line of a job's log, which is its fault; a job that was killed has none."""
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError:
        return "It left no log."
    lines = [line.rstrip() for line in lines if line.strip()]
    if not lines or PROGRESS.match(lines[-1]):
        return "It was ended from outside, without a word: out of memory or time, or killed."
    return lines[-1].strip()
