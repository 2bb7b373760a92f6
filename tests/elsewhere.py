"""Snakemake in a working directory of a user's own, with the workflow of this repository."""

import subprocess
import sys
from pathlib import Path

import yaml

from scripts.lib.code import ROOT


def snakemake(folder: Path, overlay: dict, *words: str, cwd: Path | None = None):
    """Run it to its end with an overlay that lies in the folder; the finished process."""
    (folder / "mine.yaml").write_text(yaml.safe_dump(overlay, allow_unicode=True), "utf-8")
    command = [sys.executable, "-m", "snakemake", "-s", str(ROOT / "Snakefile"), "--cores", "1"]
    command += ["--directory", str(folder), *words, "--configfile", str(folder / "mine.yaml")]
    return subprocess.run(
        command, cwd=cwd or folder, capture_output=True, text=True, timeout=300, check=False
    )


def said(done: subprocess.CompletedProcess) -> list[str]:
    """Lines of what a process said."""
    return (done.stdout + done.stderr).strip().splitlines()
