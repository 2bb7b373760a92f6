"""A copy of the project to run, edit and break, and the counting of jobs."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq

ROOT = Path(__file__).resolve().parents[1]
CODE = ("Snakefile", "workflow", "scripts", "config", "profiles", "tests/tiny.yaml")


class Project:
    """A project folder with Snakemake in it."""

    def __init__(self, folder: Path):
        self.folder = folder

    def snakemake(self, *words: str, cores: int = 2, config: str = "tests/tiny.yaml"):
        """Run Snakemake to its end; the finished process with its output as text."""
        command = [sys.executable, "-m", "snakemake", "--cores", str(cores), *words]
        command += ["--configfile", config]
        return subprocess.run(command, cwd=self.folder, capture_output=True, text=True, timeout=300)

    def jobs(self, *words: str, **options) -> dict[str, int]:
        """Number of jobs by rule that a run would execute now; {} if there is nothing to do."""
        done = self.snakemake("--dry-run", *words, **options)
        assert done.returncode == 0, done.stderr + done.stdout
        return job_counts(done.stdout + done.stderr)

    def science(self, **options) -> None:
        """Run all but measurement and report, successfully."""
        done = self.snakemake("science", **options)
        assert done.returncode == 0, done.stderr + done.stdout

    def rows(self) -> list[dict]:
        """Run rows without their timing columns, in the order of their keys."""
        table = pq.read_table(self.folder / "results/engression/runs.parquet")
        timing = [name for name in table.column_names if name.endswith("_s")]
        kept = table.drop_columns(timing).to_pylist()
        return sorted(kept, key=lambda row: (row["arm"], row["law"], row["n"], row["rep"]))

    def trained(self) -> set[str]:
        """Every unit that was ever trained here: arm, digest, name."""
        units = self.folder / "results/engression/units"
        return {path.relative_to(units).as_posix() for path in units.rglob("*.json")}

    def edit(self, path: str, old: str, new: str) -> None:
        """Replace `old`, which must be there, in one file."""
        file = self.folder / path
        text = file.read_text()
        assert old in text, f"{old!r} is not in {path}"
        file.write_text(text.replace(old, new))

    def overlay(self, **sections: str) -> str:
        """A config file that is tiny.yaml plus further engression keys given as YAML text."""
        name = "-".join(sections) + ".yaml"
        lines = [f"  {key}: {value}\n" for key, value in sections.items()]
        kept, skip = [], False
        for line in (self.folder / "tests/tiny.yaml").read_text().splitlines(keepends=True):
            key = re.match(r"  (\w+):", line)
            skip = key.group(1) in sections if key else skip and line.startswith("    ")
            kept += [] if skip else [line]
        (self.folder / name).write_text("".join([*kept, *lines]))
        return name


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
