"""A damaged cache of compiled code is compiled again, whichever of its files it is."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from scripts.lib.code import ROOT

pytestmark = pytest.mark.spread

KERNEL = """
import logging, sys
logging.basicConfig(level=logging.INFO)
from scripts.lib.compiled import entry
@entry
def triple(x):
    return 3 * x
print(triple(4), sum(triple.stats.cache_hits.values()), sum(triple.stats.cache_misses.values()))
"""


def call(folder: Path) -> tuple[str, str]:
    """Answer, hits and misses of a process that calls a kernel; what it said."""
    done = subprocess.run(
        [sys.executable, str(folder / "kernel.py")],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip(), done.stderr


def cut(share: float) -> Callable[[bytes], bytes]:
    return lambda content: content[: int(share * len(content))]


@pytest.mark.parametrize(
    ("ending", "damaged"),
    [("nbi", cut(0)), ("nbi", cut(0.9)), ("nbc", cut(0.5)), ("nbi", lambda content: b"no index")],
    ids=["an empty index", "a truncated index", "truncated code", "another file"],
)
def test_a_damaged_cache_is_compiled_again_and_kept(tmp_path, ending, damaged):
    (tmp_path / "kernel.py").write_text(KERNEL)
    assert call(tmp_path)[0] == "12 0 1"
    (file,) = tmp_path.rglob(f"*.{ending}")
    file.write_bytes(damaged(file.read_bytes()))
    answer, said = call(tmp_path)
    assert answer == "12 0 1"
    assert "compiled again" in said
    assert call(tmp_path)[0] == "12 1 0"
