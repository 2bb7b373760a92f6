"""A run on the screen: a line that moves, or lines; at its end the page and its ratios."""

import csv
import io
import logging
import os
import pty
import subprocess
import sys
from types import SimpleNamespace

import pytest
import yaml
from snakemake.logging import LogEvent, LoggerManager
from snakemake.settings.enums import Quietness
from snakemake.settings.types import OutputSettings

from scripts.lib.code import ROOT
from scripts.lib.stage import SCREEN
from scripts.spine.last_words import page_words, tail, told
from scripts.spine.terminal import Jobs, Terminal, speak, unframed
from tests.elsewhere import said, snakemake
from tests.test_elsewhere import LEAST

pytestmark = pytest.mark.spread
TARGET = "results/engression/data/reps-000-001.parquet"


def under_way() -> Jobs:
    """At 20 s: two `train` of 10 s are done and two of six run, since 10 s; one `report` waits."""
    jobs = Jobs()
    jobs.totals.update({"train": 6, "report": 1})
    for job, now in ((0, 0.0), (1, 0.0), (2, 10.0), (3, 10.0)):
        if job > 1:
            jobs.end(job - 2, now)
        jobs.begin(job, "train", {"arm": "fused", "block": str(job)}, now)
    return jobs


def test_the_time_left_is_that_of_the_jobs_left_at_the_pace_of_their_rule():
    jobs = under_way()
    # Two train and one report, taken to be like the others, ten seconds each, two at a time.
    assert jobs.left(20.0) == pytest.approx(15.0)
    # Half of a running job is half a job: five seconds of each, and ten of each other.
    assert jobs.left(15.0) == pytest.approx((5 + 5 + 30) / 2)


def test_before_a_job_has_ended_no_time_is_told():
    jobs = Jobs()
    jobs.totals["train"] = 2
    jobs.begin(0, "train", {}, 0.0)
    assert jobs.left(5.0) is None
    assert jobs.line(5.0) == "0 of 2 jobs (0%); running: train"


def test_the_line_has_jobs_share_time_left_and_what_runs():
    jobs = under_way()
    jobs.totals["report"] = 101
    assert jobs.line(15.0) == "2 of 107 jobs (2%), about 9 min left; running: 2 train"
    jobs.end(2, 20.0)
    assert jobs.line(20.0).endswith("; running: train fused 3")


def test_after_a_fault_the_line_says_what_is_waited_for_and_no_time():
    jobs = under_way()
    jobs.end(2, 20.0, failed=True)
    assert jobs.line(20.0) == "2 of 7 jobs (29%), 1 failed; waiting for: train fused 3"


def record(event: LogEvent | None, level: int = logging.INFO, msg: str = "", **values):
    made = logging.LogRecord("snakemake", level, __file__, 0, msg, None, None)
    made.__dict__.update(values | ({"event": event} if event else {}))
    return made


def test_without_a_terminal_every_job_that_ends_is_a_line_and_warnings_are_whole():
    stream = io.StringIO()
    screen = Terminal(stream, moves=False)
    for one in (
        record(None, msg="Building DAG of jobs..."),
        record(None, logging.WARNING, "engression: fitted to the overlay."),
        record(LogEvent.RUN_INFO, stats={"train": 2, "total": 2}),
        record(None, msg="Execute 1 jobs..."),
        record(LogEvent.JOB_INFO, jobid=7, rule_name="train", wildcards={"arm": "fused"}),
        record(LogEvent.JOB_INFO, jobid=8, rule_name="train", wildcards={"arm": "exact"}),
        record(LogEvent.JOB_FINISHED, job_id=7),
        record(LogEvent.JOB_ERROR, logging.ERROR, jobid=8),
        record(None, logging.ERROR, "What nobody foresaw:\nit has two lines."),
    ):
        screen.handle(one)
    lines = stream.getvalue().splitlines()
    assert lines[:2] == ["engression: fitted to the overlay.", "2 jobs to run."]
    assert lines[2][9:] == "1 of 2 jobs (50%), less than a minute left: train fused (0.0 s)"
    assert lines[3][9:] == "failed: train exact (0.0 s)"
    assert lines[4:] == ["What nobody foresaw:", "it has two lines."]


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    """What `speak` says to jobs ends with the test."""
    monkeypatch.setenv(SCREEN, "")
    monkeypatch.delenv(SCREEN)


def screens(cores: int | None = 1, remote: bool = False, **settings) -> list[str]:
    """Which handlers write to the screen after `speak`."""
    manager = LoggerManager(logging.Logger("of a test"), OutputSettings(**settings))
    nodes = None if cores else 3
    speak(
        SimpleNamespace(
            logger_manager=manager, is_main_process=not remote, remote_exec=remote,
            resource_settings=SimpleNamespace(nodes=nodes),
        )
    )  # fmt: skip
    return [type(one).__name__ for one in manager.logger.handlers]


def test_by_default_the_screen_is_ours():
    assert screens() == ["Terminal"]
    assert os.environ[SCREEN] == os.devnull


@pytest.mark.parametrize(
    "asked",
    [
        {"dryrun": True, "stdout": True}, {"printshellcmds": True}, {"verbose": True},
        {"quiet": {Quietness.PROGRESS}}, {"debug_dag": True}, {"stdout": True},
        {"cores": None}, {"remote": True},
    ],
    ids=str,
)  # fmt: skip
def test_who_asks_for_other_words_or_for_other_machines_has_those_of_snakemake(asked):
    assert screens(**asked) == ["ColorizingTextHandler"]
    assert SCREEN not in os.environ


ROWS = [
    {"title": "A study", "ratio": "8.60 (6.80 to 11.7)", "proof": "agrees (equivalent)",
     "controls": "1 of 1",
     "value": "8.6", "workload": "training", "words": "costs less"},
    {"title": "B", "ratio": "no ratio", "proof": "fails", "controls": "",
     "value": "", "workload": "training",
     "words": "not comparable: it failed"},
]  # fmt: skip


def test_the_end_has_the_ratios_of_the_page_with_their_proof_in_columns(tmp_path):
    assert told(ROWS) == [
        "Cost of the reference over cost of the result:",
        "A study  8.60 (6.80 to 11.7)  agrees (equivalent)  1 of 1  training",
        "B        no ratio             fails                        not comparable: it failed",
    ]
    assert told([]) == []


def test_a_run_that_makes_a_page_ends_with_its_path_and_others_with_nothing(tmp_path):
    headlines = tmp_path / "headlines.csv"
    output = SimpleNamespace(page=tmp_path / "report.html", headlines=headlines)
    jobs = [SimpleNamespace(rule=SimpleNamespace(name=n), output=output) for n in ("all", "report")]
    assert page_words(jobs) == ""  # of --touch, where nothing is made
    with open(headlines, "w", newline="") as file:
        table = csv.DictWriter(file, list(ROWS[0]))
        table.writeheader()
        table.writerows(ROWS)
    assert page_words(jobs).splitlines() == [*told(ROWS), f"Page: {tmp_path / 'report.html'}"]
    assert page_words(jobs[:1]) == ""


def test_the_tail_of_a_log_is_the_way_to_a_fault_without_progress(tmp_path):
    log = tmp_path / "log"
    log.write_text("12:00:00 begun\nTraceback:\n  in f\nValueError: no\n")
    assert tail(log) == ["  Traceback:", "    in f"]
    log.write_text("".join(f"line {i}\n" for i in range(50)))
    assert tail(log)[0] == "  ..."
    assert tail(log)[-1] == "  line 48"
    assert tail(tmp_path / "none") == []


def test_a_run_says_little_and_its_log_has_all(tmp_path):
    done = snakemake(tmp_path, LEAST, TARGET)
    assert done.returncode == 0
    lines = said(done)
    assert any("1 of 1 jobs (100%): engression_load reps-000-001 (" in line for line in lines)
    assert len(lines) < 10
    (log,) = (tmp_path / ".snakemake/log").iterdir()
    assert f"Complete log(s): {log}" in lines
    assert all(words in log.read_text() for words in ("rule engression_load:", "Job stats:"))


@pytest.mark.parametrize("words", [[], ["-n"], ["--verbose"]], ids=str)
def test_a_misspelt_key_is_one_sentence_and_nothing_stands_below_it(tmp_path, words):
    done = snakemake(tmp_path, {"deep_gpcm": {"blok": 3}}, *words)
    assert done.returncode != 0
    # A dry run speaks on stdout.
    *_, before, last = (done.stderr + done.stdout).strip().splitlines()
    assert last.startswith("Config: deep_gpcm.blok is no key of this workflow")
    assert not before.startswith("WorkflowError")


@pytest.mark.parametrize(
    "text",
    [
        'WorkflowError in file "a.smk", line 3:\none\ntwo\n  File "a.smk", line 3, in <module>',
        'KeyError in file "a.smk", line 3:\none\n  File "a.smk", line 3, in <module>',
        "WorkflowError:\none",
    ],
)
def test_faults_that_are_no_sentence_of_ours_are_told_whole(text):
    record = logging.makeLogRecord({"msg": text})
    assert unframed(record)
    assert record.msg == text


def test_on_a_terminal_one_line_moves_and_is_gone_at_the_end(tmp_path):
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(LEAST))
    command = [sys.executable, "-m", "snakemake", "-s", str(ROOT / "Snakefile"), "--cores", "1"]
    command += [TARGET, "--configfile", "mine.yaml"]
    ours, theirs = pty.openpty()
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "80"}
    run = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=theirs, stderr=theirs)
    os.close(theirs)
    seen = b""
    try:
        while part := os.read(ours, 4096):
            seen += part
    except OSError:  # the other end is closed
        pass
    assert run.wait() == 0
    text = seen.decode()
    moved = text.index("0 of 1 jobs (0%); running: engression_load")
    assert "\x1b[2K" in text[moved:]  # the line is erased,
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")  # and the cursor is back
    assert "1 of 1 jobs" not in text.replace("\r", "\n").splitlines()[-1]
