"""The compiled code of the trainer: its formulas, its products, and its cache."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numba
import numpy as np
import pytest

from scripts.tep_bp.training.fused import compiled, elementwise, steps
from scripts.tep_bp.training.fused.compile import compile_all
from scripts.tep_bp.training.fused.elementwise import mapped, relu_of, tanh_of
from scripts.tep_bp.training.fused.lanes import LANES
from scripts.tep_bp.training.fused.products import onto_tile, onto_tiles

ROOT = Path(__file__).parents[1]


def over(function, x: np.ndarray) -> np.ndarray:
    """What a compiled function of lanes makes of numbers."""
    run = numba.njit(lambda x, out: function(x, out))
    room = np.zeros((-(-len(x) // LANES), LANES), np.float32)
    room.ravel()[: len(x)] = x
    out = np.empty_like(room)
    run(room, out)
    return out.ravel()[: len(x)]


def test_tanh_is_right_to_rounding():
    x = np.linspace(-12, 12, 200_000, dtype=np.float32)
    x = np.concatenate([x, np.geomspace(1e-30, 1, 20_000, dtype=np.float32)])
    found = over(tanh_of, x)
    assert np.max(np.abs(found / np.tanh(x.astype(np.float64)) - 1)) <= 3e-7
    assert np.max(np.abs(found)) <= 1
    limits = over(tanh_of, np.array([np.inf, -np.inf, 1e30, -1e30, 0, np.nan], np.float32))
    assert limits[:5].tolist() == pytest.approx([1, -1, 1, -1, 0], abs=3e-7)
    assert np.isnan(limits[5])


def test_relu_keeps_what_is_above_zero_and_what_is_no_number():
    found = over(relu_of, np.array([-1, 0, 2, np.inf, -np.inf, np.nan], np.float32))
    assert np.array_equal(found, [0, 0, 2, np.inf, 0, np.nan], equal_nan=True)


def test_exp_is_right_to_rounding():
    exp_of = mapped(elementwise.exp)
    x = np.linspace(-87, 87, 200_001, dtype=np.float32)
    found, exact = over(exp_of, x), np.exp(x.astype(np.float64))
    assert np.max(np.abs(found / exact - 1)) <= 4 * 2**-24
    limits = over(exp_of, np.array([-1e30, -np.inf, 0, np.nan], np.float32))
    assert limits[:2].max() < 2e-38
    assert limits[2] == 1
    assert np.isnan(limits[3])


@pytest.mark.parametrize("rows", [1, 2, 10, 19])
@pytest.mark.parametrize("depth", [0, 1, 50])
def test_products_of_tiles_are_products(rows, depth):
    rng = np.random.default_rng(0)
    start, a, b = (
        rng.random(shape, np.float32) for shape in ((rows, LANES), (rows, depth), (depth, LANES))
    )
    out = np.empty_like(start)
    numba.njit(lambda *arrays: onto_tile(*arrays))(start, a, b, out)
    assert np.allclose(out, start + a @ b, rtol=1e-6)


@pytest.mark.parametrize("columns", [8, 16, 24, 40, 64])
def test_products_over_samples_are_sums_over_tiles(columns):
    rng = np.random.default_rng(0)
    a = rng.random((3, 16, LANES), np.float32)
    b = rng.random((3, LANES, columns), np.float32)
    out = np.empty((16, columns), np.float32)
    numba.njit(lambda *arrays: onto_tiles(*arrays))(a, b, out)
    assert np.allclose(out, (a @ b).sum(0), rtol=1e-5)


def compiled_elsewhere(**places: str) -> int:
    """How many entries a new process compiles, rather than find them in its cache."""
    code = (
        "from scripts.tep_bp.training.fused import compile, steps, update\n"
        "compile.compile_all()\n"
        "entries = [steps.gather, steps.settle, steps.read, steps.teach, update.improve]\n"
        "print(sum(len(e.signatures) - sum(e.stats.cache_hits.values()) for e in entries))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT, env=os.environ | places, text=True, capture_output=True, check=True,
    )  # fmt: skip
    return int(done.stdout)


def test_what_one_process_compiled_serves_the_next():
    compile_all()
    assert compiled_elsewhere() == 0


@pytest.mark.slow
def test_all_is_compiled_once_and_where_nothing_can_be_written_in_every_process(tmp_path):
    cache, home, file = tmp_path / "cache", tmp_path / "home", tmp_path / "file"
    assert compiled_elsewhere(NUMBA_CACHE_DIR=str(cache)) == 6
    assert compiled_elsewhere(NUMBA_CACHE_DIR=str(cache)) == 0
    package = shutil.copytree(ROOT / "scripts", home / "scripts")
    file.touch()  # no folder can be made below a file, not even by root
    for folder in package.rglob("__pycache__"):
        shutil.rmtree(folder)
    (package / "tep_bp/training/fused/__pycache__").touch()
    below = {name: str(file / "below") for name in ("NUMBA_CACHE_DIR", "HOME", "XDG_CACHE_HOME")}
    assert compiled_elsewhere(PYTHONPATH=str(home), PYTHONSAFEPATH="1", **below) == 6


def test_an_edit_of_any_module_makes_what_was_compiled_stale(tmp_path):
    package = Path(compiled.__file__).parent
    assert compiled.sources(package) == compiled.SOURCES
    assert steps.teach._cache._cache_file._source_stamp == compiled.SOURCES
    for path in package.glob("*.py"):
        copy = shutil.copytree(package, tmp_path / path.stem)
        with (copy / path.name).open("a") as file:
            file.write("# edited\n")
        assert compiled.sources(copy) != compiled.SOURCES
