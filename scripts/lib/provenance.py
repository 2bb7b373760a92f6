"""Where a file's numbers come from: commit, versions and hardware, never hosts, users or paths."""

import hashlib
import os
import platform
import subprocess
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from scripts.lib.devices import gpu
from scripts.lib.job import JOB
from scripts.lib.root import ROOT

NO_COMMIT = "not a git checkout"


def _git(*words: str) -> str:
    try:
        done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _installed(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that can change a number."""
    packages = (
        "torch", "numpy", "scipy", "scikit-learn", "numba", "llvmlite", "pandas", "pyarrow",
        "optuna", "datasets", "safetensors", "snakemake",
    )  # fmt: skip
    return {"python": platform.python_version()} | {name: _installed(name) for name in packages}


def computing_versions() -> dict[str, str]:
    """Those that a result is made from: the workflow engine changes none."""
    return {name: version for name, version in versions().items() if name != "snakemake"}


@cache
def _cpuinfo() -> dict[str, str]:
    """What Linux says of the first CPU; nothing on other systems."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            fields = (line.partition(":") for line in file.read().partition("\n\n")[0].splitlines())
    except OSError:
        return {}
    return {name.strip(): value.strip() for name, _, value in fields}


def processor() -> str:
    """The CPU's model name, or its architecture where the system does not tell."""
    return _cpuinfo().get("model name") or platform.processor() or platform.machine()


def instruction_set(device: str = "cpu") -> str:
    """Digest of the CPU's maker and instructions, by which libraries choose their code, so bits.

    Of what a GPU computed, of the GPU's model too.
    """
    known = [_cpuinfo().get(name, "") for name in ("vendor_id", "flags", "Features")]
    known += [gpu()[key] for key in ("gpu", "capability")] if device == "cuda" else []
    return hashlib.sha256("|".join([platform.machine(), *known]).encode()).hexdigest()[:12]


def of_devices(devices: Iterable[str]) -> dict[str, Any]:
    """What the provenance of a table has otherwise, or beside, where a GPU computed some of it."""
    if "cuda" not in devices:
        return {}
    told = {"processor": f"{gpu()['gpu']}, {processor()}"}
    return told | {"instruction_set": instruction_set("cuda"), "gpu": gpu()}


def today() -> str:
    """The date, UTC. Only tables that a verdict is dated by have it: bytes would differ by day."""
    return datetime.now(UTC).date().isoformat()


def node_is_shared() -> bool:
    """Whether Slurm may run jobs of others beside the running one; False outside Slurm."""
    job = os.environ.get("SLURM_JOB_ID")
    if not job:
        return False
    try:  # %h: whether its node may be shared; NO where it was asked for alone
        asked = ["squeue", "--noheader", f"--jobs={job}", "--format=%h"]
        said = subprocess.run(asked, capture_output=True, text=True, timeout=60).stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        return True  # nobody says that it is not
    return said not in ("NO", "EXCLUSIVE")


@cache
def commit() -> dict[str, Any]:
    """Commit of this repository, with a flag whether files that it tracks were edited since."""
    return {
        "commit": _git("rev-parse", "HEAD") or NO_COMMIT,
        "dirty": bool(_git("status", "--porcelain", "--untracked-files=no")),
    }


def shortened(commit: str) -> str:
    """A commit as it is told."""
    return commit if commit == NO_COMMIT else commit[:12]


@cache
def provenance() -> dict:
    """Commit, versions and processor, as stored in every table's metadata.

    A job is told the commit by the run that planned it: to look at each file of the repository for
    every job is slow where many share a file system.
    """
    return (JOB.commit or commit()) | {
        "versions": versions(),
        "processor": processor(),
        "instruction_set": instruction_set(),
        "platform": f"{platform.system()} {platform.machine()}",
    }
