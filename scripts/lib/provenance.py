"""Where a file's numbers come from: commit, versions and processor, never hosts, users or paths."""

import platform
import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version

from scripts.lib.code import ROOT


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
        "torch", "numpy", "scipy", "scikit-learn", "numba", "pandas", "pyarrow", "snakemake",
    )  # fmt: skip
    return {"python": platform.python_version()} | {name: _installed(name) for name in packages}


def processor() -> str:
    """The CPU's model name, or its architecture where the system does not tell."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            models = (line.partition(":")[2].strip() for line in lines if "model name" in line)
            return next(models, platform.machine())
    except OSError:
        return platform.processor() or platform.machine()


@cache
def provenance() -> dict:
    """Commit (with a dirty flag), versions and processor, as stored in every table's metadata."""
    return {
        "commit": _git("rev-parse", "HEAD") or "not a git checkout",
        "dirty": bool(_git("status", "--porcelain", "--untracked-files=no")),
        "versions": versions(),
        "processor": processor(),
        "platform": f"{platform.system()} {platform.machine()}",
    }
