"""The compiled kernel is made once, survives company and read-only folders, and is never stale."""

import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numba
import numpy as np
import pytest

from scripts.deep_gpcm.models.memory import recurrence
from tests.gpcm_networks import ROOT
from tests.stages import job_of

SOURCE = Path(recurrence.__file__)


def start(cache: Path) -> subprocess.Popen:
    """The stage that compiles, running."""
    words = ["-m", "scripts.deep_gpcm.kernel", job_of({}, {}, {"compiled": cache})]
    return subprocess.Popen([sys.executable, *words], cwd=ROOT, stderr=subprocess.PIPE, text=True)


def loaded(monkeypatch, cache: Path, source: Path = SOURCE) -> ModuleType:
    """The module as a process finds it that starts with this cache."""
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(cache))
    spec = importlib.util.spec_from_file_location("recurrence", source)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def reads(module: ModuleType) -> np.ndarray:
    """What the forward pass of a module reads in a small example, float32."""
    rng = np.random.default_rng(0)
    w, e, a, m0 = (rng.random(shape, np.float32) for shape in ((5, 3), (5, 4), (5, 4), (3, 4)))
    found = np.empty_like(a)
    module.read_forward(w, e, a, m0, np.array([3, 2]), 2, found, np.empty((3, 3, 4), np.float32))
    return found


def compiled_here(module: ModuleType) -> int:
    """How many versions of the forward pass this process compiled, not found in a cache."""
    return sum(module.read_forward.stats.cache_misses.values())


def written(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in folder.rglob("*.nb?")}


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> Path:
    """A cache that two jobs filled at once."""
    folder = tmp_path_factory.mktemp("numba")
    jobs = [start(folder / "cache") for _ in range(2)]
    ends = [job.communicate()[1] for job in jobs]
    assert [job.returncode for job in jobs] == [0, 0], ends
    assert json.loads((folder / "cache/compiled.json").read_text())["compile_s"] > 0
    return folder / "cache"


def test_two_jobs_that_compile_at_once_leave_a_cache_that_serves_the_next(monkeypatch, cache):
    before = written(cache)
    assert len(before) == 4  # an index and the code of each pass
    module = loaded(monkeypatch, cache)
    assert np.array_equal(reads(module), reads(recurrence))
    assert compiled_here(module) == 0
    assert written(cache) == before


def test_without_a_place_to_write_it_is_compiled_in_every_process(monkeypatch, tmp_path):
    file = tmp_path / "__pycache__"  # no folder can be made below a file, not even by root
    file.touch()
    source = shutil.copy2(SOURCE, tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(file / "home"))
    monkeypatch.setenv("HOME", str(file / "home"))
    module = loaded(monkeypatch, file / "cache", source)
    assert np.array_equal(reads(module), reads(recurrence))
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["__pycache__", "recurrence.py"]


def test_an_edited_kernel_is_compiled_anew(monkeypatch, tmp_path):
    source = Path(shutil.copy2(SOURCE, tmp_path))
    assert np.array_equal(reads(loaded(monkeypatch, tmp_path, source)), reads(recurrence))
    text = source.read_text()
    assert text.count("read[d] += weight * old") == 1
    source.write_text(text.replace("read[d] += weight * old", "read[d] -= weight * old"))
    edited = loaded(monkeypatch, tmp_path, source)
    assert np.array_equal(reads(edited), -reads(recurrence))
    assert compiled_here(edited) == 1


def test_compiled_here_or_loaded_it_has_the_same_bits(monkeypatch, cache, tmp_path):
    rng = np.random.default_rng(0)
    w, e, a, m0 = (rng.random(s, np.float32) for s in ((40, 7), (40, 33), (40, 33), (7, 33)))
    found = []
    for module in (loaded(monkeypatch, cache), loaded(monkeypatch, tmp_path, tmp_copy(tmp_path))):
        out, kept = np.empty_like(a), np.empty((30, 7, 33), np.float32)
        lengths = np.array([25, 15])
        module.read_forward(w, e, a, m0, lengths, 2, out, kept)
        gradients = [np.empty_like(x) for x in (w, e, a, m0)]
        module.read_backward(w, e, a, lengths, 2, kept[:21], np.ones_like(a), *gradients)
        found.append([out, *gradients])
    assert compiled_here(module) == 1
    assert all(np.array_equal(x, y) for x, y in zip(*found, strict=True))


def tmp_copy(folder: Path) -> Path:
    return Path(shutil.copy2(SOURCE, folder))


def test_a_cache_that_lost_its_code_is_filled_again(monkeypatch, cache, tmp_path):
    folder = shutil.copytree(cache, tmp_path / "cache")
    for path in folder.rglob("*.nbc"):
        path.unlink()
    assert np.array_equal(reads(loaded(monkeypatch, folder)), reads(recurrence))
    again = loaded(monkeypatch, folder)
    assert np.array_equal(reads(again), reads(recurrence))
    assert compiled_here(again) == 0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_kernel_computes_in_the_precision_of_its_arrays(dtype):
    rng = np.random.default_rng(0)
    w, e, a, m0 = (rng.random(shape) for shape in ((1, 3), (1, 4), (1, 4), (3, 4)))
    arrays = [x.astype(dtype) for x in (w, e, a, m0)]
    found = np.empty((1, 4), dtype)
    recurrence.read_forward(*arrays, np.array([1]), 0, found, np.empty((0, 3, 4), dtype))
    error = np.abs(found - w @ m0).max()
    assert error <= 4 * np.finfo(dtype).eps
    assert (error > 1e-12) == (dtype == np.float32)
