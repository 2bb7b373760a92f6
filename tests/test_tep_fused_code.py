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

from scripts.tep_bp.models.fused import arithmetic
from scripts.tep_bp.models.fused.arithmetic import LANES

ROOT = Path(__file__).parents[1]
# Modules with compiled calls are imported where they are used: `TRAINED` imports this module before
# it says where they are kept.


def over(function, x: np.ndarray) -> np.ndarray:
    """What a compiled function of numbers makes of these, in a loop."""

    @numba.njit
    def run(x, out):
        for i in range(len(x)):
            out[i] = function(x[i])

    out = np.empty_like(x)
    run(x, out)
    return out


def test_tanh_is_right_to_five_units_in_the_last_place():
    x = np.linspace(-12, 12, 200_000, dtype=np.float32)
    x = np.concatenate([x, np.geomspace(1e-30, 1, 20_000, dtype=np.float32)])
    found, exact = over(arithmetic.tanh, x), np.tanh(x.astype(np.float64))
    assert np.max(np.abs(found - exact) / np.spacing(np.abs(exact).astype(np.float32))) <= 5
    assert np.max(np.abs(found)) <= 1
    limits = over(arithmetic.tanh, np.array([np.inf, -np.inf, 1e30, -1e30, 0, np.nan], np.float32))
    assert limits[:5].tolist() == pytest.approx([1, -1, 1, -1, 0], abs=3e-7)
    assert np.isnan(limits[5])


def test_relu_keeps_what_is_above_zero_and_what_is_no_number():
    from scripts.tep_bp.models.fused.network import HeavyBall
    from scripts.tep_bp.models.fused.phases import RELU, fixed_point_step

    z, found = np.zeros((2, 2, LANES), np.float32)
    z[0, :6] = -1, 0, 2, np.inf, -np.inf, np.nan
    plain = HeavyBall(1.0, 0.0, 0.0, 1, 1)
    numba.njit(lambda *arrays: fixed_point_step(*arrays))(z, RELU, np.zeros_like(z), found, plain)
    assert np.array_equal(found[0, :6], [0, 0, 2, np.inf, 0, np.nan], equal_nan=True)


def test_exp_is_right_to_rounding():
    x = np.linspace(-87, 87, 200_001, dtype=np.float32)
    found, exact = over(arithmetic.exp, x), np.exp(x.astype(np.float64))
    assert np.max(np.abs(found / exact - 1)) <= 4 * 2**-24
    limits = over(arithmetic.exp, np.array([-1e30, -np.inf, 0, np.nan], np.float32))
    assert limits[:2].max() < 2e-38
    assert limits[2] == 1
    assert np.isnan(limits[3])


@pytest.mark.parametrize("rows", [1, 2, 10, 19])
@pytest.mark.parametrize("depth", [4, 8, 52])
def test_products_of_tiles_are_products(rows, depth):
    rng = np.random.default_rng(0)
    start, a, b = (
        rng.random(shape, np.float32) for shape in ((rows, LANES), (rows, depth), (depth, LANES))
    )
    out = np.empty_like(start)
    numba.njit(lambda *arrays: arithmetic.product(*arrays))(start, a, b, out)
    assert np.allclose(out, start + a @ b, rtol=1e-6)


@pytest.mark.parametrize("columns", [4, 16, 24, 40, 64])
def test_products_over_samples_are_sums_over_tiles(columns):
    from scripts.tep_bp.models.fused.update import over_samples, transposed

    rng = np.random.default_rng(0)
    a, b = (rng.random((3, rows, LANES), np.float32) for rows in (16, columns))
    out = np.empty((16, columns), np.float32)
    factor = np.float32(0.5)
    numba.njit(lambda a, b, out: over_samples(a, transposed(b), factor, out))(a, b, out)
    assert np.allclose(out, 0.5 * np.einsum("tis,tjs->ij", a, b), rtol=1e-5)


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
    from scripts.tep_bp.models.fused import phases, update
    from scripts.tep_bp.models.fused.fit import fit_fused
    from scripts.tep_bp.models.interface import Data
    from scripts.tep_bp.options import Solver, Training
    from scripts.tep_bp.plans.space import Trial

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
    entries = [phases.gather, phases.free_phase, phases.nudged_phase, phases.adjoint_phase]
    entries.append(update.improve)
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
