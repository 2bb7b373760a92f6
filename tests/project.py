"""A copy of the project to run, edit and break, and the counting of jobs."""

import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import IO

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from snakemake.utils import update_config

from scripts.lib.seals import read_seal, seal_path, sealed
from scripts.lib.yaml_files import LOADER

ROOT = Path(__file__).resolve().parents[1]
TINY = {
    "engression": "tests/tiny.yaml",
    "lora_ablation": "tests/tiny_lora.yaml",
    "deep_gpcm": "tests/tiny_gpcm.yaml",
    "tep_bp": "tests/tiny_tep.yaml",
}
LEAST = "tests/integrity/least.yaml"
CODE = ("Snakefile", "workflow", "scripts", "config", "profiles", *TINY.values(), LEAST)


class Project:
    """A project folder with Snakemake in it; `config` names one file or several."""

    def __init__(self, folder: Path, study: str = "engression"):
        self.folder, self.study, self.tiny = folder, study, TINY[study]
        self.results = folder / "results" / study

    def command(self, *words: str, cores: int = 2, config: str | None = None) -> list[str]:
        """The command line that runs Snakemake in this folder."""
        files = (config or self.tiny).split()
        start = [sys.executable, "-m", "snakemake", "--cores", str(cores), *words]
        return [*start, "--configfile", *files]

    def snakemake(self, *words: str, command: list[str] | None = None, **options):
        """Run Snakemake to its end; the finished process with its output as text."""
        command = command or self.command(*words, **options)
        return subprocess.run(command, cwd=self.folder, capture_output=True, text=True, timeout=300)

    def make(self, *words: str, **options) -> None:
        """Run Snakemake, successfully."""
        done = self.snakemake(*words, **options)
        assert done.returncode == 0, done.stderr + done.stdout

    def start(
        self, *words: str, stderr: int | IO = subprocess.DEVNULL, **options
    ) -> subprocess.Popen:
        """Snakemake on one core, running, in a process group of its own."""
        return subprocess.Popen(
            self.command(*words, cores=1, **options),
            cwd=self.folder,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            start_new_session=True,
            # Who runs the tests in the background has SIGINT ignored, and so would its children.
            preexec_fn=heed_interrupts,
        )

    def wait_for_units(self, count: int, but: frozenset[str] | set[str] = frozenset()) -> None:
        """Return once `count` units were finished that are not in `but`."""
        deadline = time.monotonic() + 60
        while len(self.trained() - but) < count:
            assert time.monotonic() < deadline, "no unit was finished within a minute"
            time.sleep(0.02)

    def training_processes(self, run: subprocess.Popen) -> list[psutil.Process]:
        """The training jobs that a started run has going."""
        children = psutil.Process(run.pid).children(recursive=True)
        script = (
            "scripts.spine.train" if self.study == "engression" else f"scripts.{self.study}.train"
        )
        return [child for child in children if script in " ".join(child.cmdline()[:5])]

    def jobs(self, *words: str, **options) -> dict[str, int]:
        """Number of jobs by rule that a run would execute now; {} if there is nothing to do."""
        done = self.snakemake("--dry-run", *words, **options)
        assert done.returncode == 0, done.stderr + done.stdout
        return job_counts(done.stdout + done.stderr)

    def science(self, **options) -> None:
        """Run all but measurement and report, successfully."""
        self.make("science", **options)

    def rows(self, file: str = "runs.parquet") -> list[dict]:
        """Run rows without their timing columns, in the order of their keys."""
        table = pq.read_table(self.results / file)
        timing = [name for name in table.column_names if name.endswith("_s")]
        keys = ["arm", *axes_of(table)]
        return table.drop_columns(timing).sort_by([(key, "ascending") for key in keys]).to_pylist()

    def trained(self) -> set[str]:
        """Every unit that was ever trained here: arm, digest, name."""
        units = self.results / "units"
        return {path.relative_to(units).as_posix() for path in units.rglob("*.json")}

    def forget_units(self) -> None:
        """Delete every finished unit, so that all are trained again."""
        for path in (self.results / "units").rglob("*.json"):
            path.unlink()

    def refusal(self, **sections: str) -> str:
        """The one sentence with which a configuration is refused before any job."""
        done = self.snakemake(config=self.overlay(**sections))
        output = done.stdout + done.stderr
        assert done.returncode != 0
        assert "Traceback" not in output
        assert not (self.folder / "results").exists()
        return next(line for line in output.splitlines() if line.startswith("Config: "))

    def rewrite(self, path: Path, content: str) -> None:
        """Another content of a table, sealed as if its job had written it."""
        seal = read_seal(path)
        path.write_text(content)
        seal_path(path).write_text(sealed(path, seal.file, seal.key))

    def edit(self, path: str, old: str, new: str) -> None:
        """Replace `old`, which must be there, in one file."""
        file = self.folder / path
        text = file.read_text()
        assert old in text, f"{old!r} is not in {path}"
        file.write_text(text.replace(old, new))

    def overlay(self, **sections: str) -> str:
        """A config file that is the tiny one with keys of the study changed, given as YAML text."""
        name = "-".join(sections) + ".yaml"
        config = yaml.safe_load((self.folder / self.tiny).read_text())
        changes = {key: yaml.load(value, Loader=LOADER) for key, value in sections.items()}
        update_config(config, {self.study: changes})
        (self.folder / name).write_text(yaml.safe_dump(config, sort_keys=False))
        return name


def heed_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def axes_of(table: pa.Table) -> list[str]:
    """Columns that name a unit: the contract puts them between arm and seed."""
    names = table.column_names
    return names[names.index("arm") + 1 : names.index("seed")]


def job_counts(output: str) -> dict[str, int]:
    """Jobs by rule in Snakemake's table, without `all`, `science` and the total."""
    table = re.search(r"Job stats:\njob +count\n[- ]+\n(.*?)\n\n", output, re.DOTALL)
    if table is None:
        return {}
    counts = dict(line.split() for line in table.group(1).splitlines())
    return {rule: int(n) for rule, n in counts.items() if rule not in ("all", "science", "total")}


def copy_code(target: Path) -> Path:
    """The files that make the workflow, without results."""
    for name in CODE:
        source, copy = ROOT / name, target / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, copy, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(source, copy)
    return target
