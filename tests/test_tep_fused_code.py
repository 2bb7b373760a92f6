"""The compiled code of the trainer: its formulas, its products, and its cache."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numba
import numpy as np
import pytest
import torch

from scripts.tep_bp.models.fused import elementwise
from scripts.tep_bp.models.fused.elementwise import mapped, relu_of, tanh_of
from scripts.tep_bp.models.fused.lanes import LANES
from scripts.tep_bp.models.fused.products import onto_tile, onto_tiles

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


TRAINED = """
import sys, torch
from pathlib import Path
from scripts.lib.compiled import compile_once
from scripts.tep_bp.kernel import compile_trainer
from tests.test_tep_fused_code import train_and_hash

if sys.argv[1] == "compile":
    compile_once(compile_trainer, Path(sys.argv[2]))
train_and_hash()
"""


def train_and_hash() -> None:
    """Train a trial of each rule and activation; print hashes, and how much had to be compiled."""
    from scripts.tep_bp.models.fused import steps, update
    from scripts.tep_bp.models.fused.fit import fit_fused
    from scripts.tep_bp.models.interface import Data
    from scripts.tep_bp.plans.space import Trial
    from scripts.tep_bp.settings import Solver, Training

    rng = torch.Generator().manual_seed(0)
    x, y = torch.rand(40, 20, generator=rng), torch.randint(0, 3, (40,), generator=rng)
    data = Data(x[:30], y[:30], x[30:], y[30:], 3)
    train = Training(
        epochs=2, betas=[0.9, 0.999], adam_eps=1e-8, spectral_cap=0.9, power_steps=2,
        difference="centred", workers=0, persistent=False, proposal="none",
    )  # fmt: skip
    solver = Solver(omega=1.2, mu=0.2, free=8, nudged=4)
    kinds = [(rule, kind) for rule in ("tep", "rbp", "bp") for kind in ("tanh", "relu")]
    trials = [
        Trial(rule, i, 16, 16, 0.01, 0.0, kind, 0.1, 7) for i, (rule, kind) in enumerate(kinds)
    ]
    hashes = [fit.parameter_hash for fit in fit_fused(data, trials, train, solver)]
    entries = [steps.gather, steps.settle, steps.read, steps.teach, update.improve]
    print(*hashes, sum(sum(e.stats.cache_misses.values()) for e in entries))


def trained(how: str, cache: Path, root: Path = ROOT) -> list[str]:
    """Hashes of the trials' parameters as a new process finds them, and how much it compiled."""
    places = {"NUMBA_CACHE_DIR": str(cache) if how == "load" else "", "PYTHONPATH": str(root)}
    done = subprocess.run(
        [sys.executable, "-c", TRAINED, how, str(cache)],
        cwd=root, env=os.environ | places, text=True, capture_output=True, check=True,
    )  # fmt: skip
    return done.stdout.split()


def test_compiled_here_or_loaded_also_from_elsewhere_the_trainer_has_the_same_bits(tmp_path):
    *here, compiled = trained("compile", tmp_path / "numba")
    assert int(compiled) > 0
    # Nothing is left to compile: the rule compiles all that jobs call.
    assert trained("load", tmp_path / "numba") == [*here, "0"]
    for name in ("scripts", "tests"):
        shutil.copytree(ROOT / name, tmp_path / "moved" / name)
    moved = shutil.copytree(tmp_path / "numba", tmp_path / "moved/results")
    assert trained("load", moved, tmp_path / "moved") == [*here, "0"]
