"""Random histories of a project: edits, runs, kills and damage, and what must come out of them.

A history starts from a finished run of least.yaml. Its state is which edits are in force; whatever
happened on the way, the tables must be those of a fresh clone in that state.
"""

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pyarrow.parquet as pq

from scripts.lib.seals import seal_path
from tests.project import LEAST, Project, copy_code

STUDIES = ("engression", "lora_ablation", "deep_gpcm", "tep_bp")
# Tables without times: chapters' tables that depend on nothing measured.
TABLES = {
    "engression": ["summary.csv", "agreement.csv"],
    "lora_ablation": ["summary.csv", "agreement.csv", "tables/grid.csv", "tables/drops.csv"],
    "deep_gpcm": ["summary.csv", "agreement.csv", "tables/scores.csv", "tables/learning.csv"],
    "tep_bp": ["summary.csv", "agreement.csv", "tables/repeats.csv", "tables/heat.csv"],
}


@dataclass(frozen=True)
class Edit:
    """A change of one file that has a meaning for one study: `old` becomes `new`, or back."""

    study: str
    path: str
    old: str
    new: str

    def apply(self, folder: Path, on: bool) -> None:
        file = folder / self.path
        before, after = (self.old, self.new) if on else (self.new, self.old)
        text = file.read_text()
        assert before in text, f"{before!r} is not in {self.path}"
        file.write_text(text.replace(before, after, 1))


@dataclass(frozen=True)
class OtherData:
    """The user's data of one study, written with another seed."""

    study: str

    def apply(self, folder: Path, on: bool) -> None:
        write_data(folder, self.study, seed=int(on))


MOMENTS = "scripts/lora_ablation/representations/moments.py"
SPLIT = "scripts/deep_gpcm/data/split.py"
# For each study an edit of code, of a value and of data (engression has none: its loader).
EDITS = (
    Edit("engression", "scripts/engression/study.py", "LAWS[unit", "-LAWS[unit"),
    Edit("engression", "scripts/engression/models/losses.py", "0.5 * term2", "0.25 * term2"),
    Edit("engression", LEAST, "max_epochs: 3}\n  eval", "max_epochs: 2}\n  eval"),
    Edit("lora_ablation", MOMENTS, "columns = [mean, std,", "columns = [-mean, std,"),
    Edit("lora_ablation", LEAST, "hidden: 16, batch: 8", "hidden: 16, batch: 6"),
    OtherData("lora_ablation"),
    Edit("deep_gpcm", SPLIT, 'fold, "validation"', 'fold, "stopping"'),
    Edit("deep_gpcm", LEAST, "batch: 4, epochs: 2", "batch: 4, epochs: 1"),
    OtherData("deep_gpcm"),
    Edit("tep_bp", "scripts/tep_bp/plans/proposals.py", '"repeat", repeat)', '"again", repeat)'),
    Edit("tep_bp", LEAST, "train: {epochs: 2}\n  arms", "train: {epochs: 1}\n  arms"),
    OtherData("tep_bp"),
)


def write_data(folder: Path, study: str, seed: int) -> None:
    """The user's files of a study, below own/."""
    rng, own = np.random.default_rng(seed), folder / "own"
    own.mkdir(exist_ok=True)
    if study == "lora_ablation":
        block = "unet.mid_block.attentions.0.transformer_blocks.0."
        names = {
            f"{block}attn1.to_q.lora.down.weight": [1, 6],
            f"{block}attn1.to_q.lora.up.weight": [8, 1],
        }
        np.save(own / "weights.npy", rng.standard_normal((30, 14), np.float32))
        (own / "tensors.json").write_text(json.dumps(names))
        labels = [f"{i},{'cat' if i % 2 else 'bird'}" for i in range(30)]
        (own / "labels.csv").write_text("\n".join(["name,label", *labels]) + "\n")
    elif study == "deep_gpcm":
        rows = [(s, t, q, rng.integers(0, 3)) for s in range(16) for t, q in enumerate("abcd")]
        lines = [",".join(map(str, row)) for row in rows]
        (own / "answers.csv").write_text("\n".join(["student,time,item,response", *lines]) + "\n")
    elif study == "tep_bp":
        x = rng.random((60, 5), np.float32)
        np.savez(own / "samples.npz", x=x, y=(x.sum(1) > 2.5).astype(np.int64))


def clone(folder: Path, edits: frozenset = frozenset()) -> Project:
    """The code and the user's data in a state, nothing run."""
    copy_code(folder)
    for study in STUDIES:
        write_data(folder, study, seed=0)
    for edit in edits:
        edit.apply(folder, on=True)
    project = Project(folder)
    project.tiny = LEAST
    return project


def targets(studies: Iterable[str] = STUDIES) -> list[str]:
    return [f"results/{study}/{table}" for study in studies for table in TABLES[study]]


def answers(folder: Path, study: str) -> dict[str, str]:
    """The tables of a study as text, without times."""
    results, found = folder / "results" / study, {}
    for name in TABLES[study]:
        table = pd.read_csv(results / name, dtype=str, keep_default_na=False)
        if "metric" in table:
            table = table[~table["metric"].str.endswith("_s")]
        found[name] = without_times(table)
    runs = pq.read_table(results / "runs.parquet").to_pandas()
    found["runs.parquet"] = without_times(runs.sort_values(["arm", "seed"], kind="stable"))
    return found


def without_times(table: pd.DataFrame) -> str:
    return table[[name for name in table if not name.endswith("_s")]].to_csv(index=False)


class History:
    """One history, drawn by `seed`; `folder` holds a finished run, `log` says what was done."""

    def __init__(self, folder: Path, seed: int):
        self.draw, self.folder = random.Random(seed), folder
        self.state: set = set()
        self.log: list[str] = []
        self.project = Project(folder)
        self.project.tiny = LEAST

    def live(self, events: int) -> None:
        """An edit and other things happen, each followed by a call that is killed, or ends."""
        happenings = [self.edit, self.damage, self.move, self.forget]
        calls = [self.interrupted_call, self.interrupted_call, self.call, self.wait]
        self.edit()
        self.interrupted_call()
        for _ in range(events - 1):
            self.draw.choice(happenings)()
            self.draw.choice(calls)()

    def settle(self) -> None:
        """Calls until one succeeds; a damaged file may cost one. Then nothing is to be done.

        Jobs that outlive a killed Snakemake write what they make: they are waited for.
        """
        psutil.wait_procs([p for p in psutil.process_iter() if self.is_here(p)], timeout=60)
        for _ in range(3):
            if self.call():
                break
        done = self.project.snakemake(*targets(), "--dry-run", cores=1)
        assert "Nothing to be done" in done.stdout + done.stderr, (self.log, done.stdout)

    def is_here(self, process: psutil.Process) -> bool:
        """Whether a process works in the folder of the project."""
        try:
            return Path(process.cwd()) == self.project.folder
        except (psutil.Error, OSError):
            return False

    def edit(self) -> None:
        edit = self.draw.choice(EDITS)
        edit.apply(self.folder, on=edit not in self.state)
        self.state ^= {edit}
        self.log.append(f"edit {EDITS.index(edit)}")

    def wait(self) -> None:
        """No call."""

    def call(self) -> bool:
        done = self.project.snakemake(*targets(), cores=1)
        output = done.stdout + done.stderr
        assert "Traceback" not in output, (self.log, output)
        self.log.append(f"call {done.returncode}")
        return done.returncode == 0

    def interrupted_call(self) -> None:
        """Snakemake, its group or a job is killed, some time after a job has started."""
        run = self.project.start(*targets())
        victim, how = self.draw.choice(["job", "group", "snakemake"]), self.draw.choice(KILLS)
        delay_s = self.draw.uniform(0, 3)
        self.log.append(f"{how.name} to {victim}")
        job = first_job(run)
        time.sleep(delay_s)
        if job and victim == "job":
            signalled(job, how)
        elif run.poll() is None and victim == "group":
            os.killpg(run.pid, how)
        elif run.poll() is None:
            run.send_signal(how)
        run.wait(120)
        if list((self.folder / ".snakemake/locks").glob("*")):
            self.project.snakemake("--unlock", cores=1)

    def damage(self) -> None:
        """A file below results is truncated, emptied, gets a bit flipped, or is another's copy."""
        files = [
            f
            for f in sorted(self.folder.glob("results/*/**/*"))
            if f.is_file() and "/logs/" not in str(f)
        ]
        file = self.draw.choice(files)
        how = self.draw.choice(list(DAMAGES))
        times = file.stat()
        DAMAGES[how](file, self.draw)
        if self.draw.random() < 0.5 and file.exists():
            os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
        self.log.append(f"{how} {file.relative_to(self.folder)}")

    def forget(self) -> None:
        """What Snakemake remembers is lost, or a file or a folder is."""
        what = self.draw.choice([".snakemake/metadata", "results/engression/units", "results/*/*/"])
        found = sorted(self.folder.glob(what))
        if found:
            victim = self.draw.choice(found)
            shutil.rmtree(victim)
            self.log.append(f"delete {victim.relative_to(self.folder)}")

    def move(self) -> None:
        """The project goes on in another folder."""
        target = self.folder.with_name(self.folder.name + "m")
        shutil.copytree(self.folder, target, symlinks=True, copy_function=shutil.copy)
        shutil.rmtree(self.folder)
        self.folder = target
        self.project = Project(target)
        self.project.tiny = LEAST
        self.log.append("move")


KILLS = (signal.SIGTERM, signal.SIGINT, signal.SIGKILL)


def first_job(run: subprocess.Popen) -> psutil.Process | None:
    """The first job that a call starts; None if it ends without one."""
    while run.poll() is None:
        with contextlib.suppress(psutil.Error):
            for child in psutil.Process(run.pid).children(recursive=True):
                # A child is a copy of Snakemake until it has become the command that it is to run.
                words = child.cmdline()
                script = words[words.index("-m") + 1] if "-m" in words else ""
                if script.startswith("scripts.") and script != "scripts.spine.forkserver":
                    return child
        time.sleep(0.05)
    return None


def signalled(process: psutil.Process, how: signal.Signals) -> None:
    with contextlib.suppress(psutil.Error):
        process.send_signal(how)


def _truncate(file: Path, draw: random.Random) -> None:
    content = file.read_bytes()
    file.write_bytes(content[: draw.randrange(len(content) or 1)])


def _flip(file: Path, draw: random.Random) -> None:
    content = bytearray(file.read_bytes())
    if content:
        content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    file.write_bytes(content)


def _replace(file: Path, draw: random.Random) -> None:
    """A neighbour of the same kind in its place, with its seal or without."""
    content = file.read_bytes()
    near = sorted(file.parent.parent.rglob(f"*{file.suffix}"))
    others = [f for f in near if f.is_file() and f.read_bytes() != content]
    if others:
        other = draw.choice(others)
        shutil.copy(other, file)
        if seal_path(other).exists() and draw.random() < 0.5:
            shutil.copy(seal_path(other), seal_path(file))


DAMAGES = {
    "truncate": _truncate,
    "empty": lambda file, draw: file.write_bytes(b""),
    "flip": _flip,
    "replace": _replace,
    "delete": lambda file, draw: file.unlink(),
}
