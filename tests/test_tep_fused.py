"""The compiled trainer against the reference: the same steps but for rounding (spec 7.2)."""

import dataclasses
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numba
import numpy as np
import pytest
import torch

from scripts.tep_bp.training.data import Data
from scripts.tep_bp.training.fit import Fit
from scripts.tep_bp.training.fused import compiled, elementwise, steps
from scripts.tep_bp.training.fused.compile import compile_all
from scripts.tep_bp.training.fused.elementwise import mapped, tanh_of
from scripts.tep_bp.training.fused.fit import fit_fused
from scripts.tep_bp.training.fused.lanes import LANES
from scripts.tep_bp.training.fused.products import onto_tile, onto_tiles
from scripts.tep_bp.training.reference.fit import fit_trial
from scripts.tep_bp.trial import Trial
from tests.tep_nets import ECONOMY, PLAIN, RULE_NAMES, TRAIN, digits, trial

ROOT = Path(__file__).parents[1]
SINGLE = torch.float32
# So large an eps leaves of Adam a step along the gradient, whose length then counts.
DESCENT = TRAIN | {"adam_eps": 1e4, "epochs": 1}
SOLVERS, ACTIVATIONS = [PLAIN, ECONOMY], ["tanh", "relu"]


def some(rule: str, activation: str = "tanh", **changes) -> list[Trial]:
    """Trials that differ in all that may differ."""
    return [
        trial(rule, **{"activation": activation, "beta": 0.05, "hidden": 8} | changes),
        trial(rule, **{"activation": activation, "weight_decay": 0.1, "hidden": 24} | changes),
        trial(rule, **{"activation": activation, "seed": 4, "beta": 0.7, "batch": 37} | changes),
    ]


def part(n: int, dtype: torch.dtype = SINGLE) -> Data:
    whole = digits(dtype)
    return dataclasses.replace(whole, x=whole.x[:n], y=whole.y[:n])


def both(data: Data, trials: list[Trial], train: dict, solver: dict) -> list[tuple[Fit, Fit]]:
    reference = [fit_trial(data, one, train, solver) for one in trials]
    return list(zip(reference, fit_fused(data, trials, train, solver), strict=True))


def gap(pairs: list[tuple[Fit, Fit]]) -> float:
    """The largest relative difference of a loss."""
    return max(np.max(np.abs(np.subtract(a.losses, b.losses)) / a.losses) for a, b in pairs)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("rule", RULE_NAMES)
def test_the_first_step_is_the_same_but_for_rounding(rule, solver, activation):
    trials = some(rule, activation, lr=3e3, weight_decay=1e-5, batch=64)
    pairs = both(part(61), trials, DESCENT, solver)
    assert gap(pairs) <= 1e-6
    for a, b in pairs:
        assert b.audit == pytest.approx(a.audit, rel=1e-3, abs=1e-6)


def test_the_comparison_of_first_steps_sees_a_gradient_that_is_slightly_wrong():
    right = fit_trial(part(61), trial(lr=3e3, beta=0.2), DESCENT, PLAIN)
    for wrong in (trial(lr=3e3 * 1.0001, beta=0.2), trial(lr=3e3, beta=0.21)):
        assert gap([(right, fit_fused(part(61), [wrong], DESCENT, PLAIN)[0])]) > 1e-6


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("rule", RULE_NAMES)
def test_the_first_epoch_is_the_same_but_for_rounding(rule, solver, activation):
    for a, b in both(part(300), some(rule, activation), TRAIN | {"epochs": 1}, solver):
        assert gap([(a, b)]) <= 1e-5
        counts = [(f.n_steps, f.n_parameters, f.flops, f.diverged_epoch) for f in (a, b)]
        assert counts[0] == counts[1]
        assert set(a.cost) == set(b.cost)


@pytest.mark.parametrize("rule", RULE_NAMES)
def test_after_thirty_epochs_accuracies_agree(rule):
    train = TRAIN | {"epochs": 30, "watch": False}
    trials = [
        trial(rule, seed=seed, lr=1e-2, batch=128, activation=activation)
        for seed in range(3)
        for activation in ACTIVATIONS
    ]
    pairs = both(part(300), trials, train, ECONOMY)
    shifts = np.array([(a.accuracy - b.accuracy) * 288 for a, b in pairs])
    assert (np.abs(shifts) <= 2.01).mean() >= 0.8
    assert abs(shifts.mean()) <= 1
    assert min(b.accuracy for _, b in pairs) > 0.85


@pytest.mark.parametrize("batch", [1, 7, 33, 64, 1000])
@pytest.mark.parametrize("rule", RULE_NAMES)
def test_any_batch_will_do_and_the_incomplete_last_one_is_kept(rule, batch):
    trials = some(rule, batch=batch)[:1]
    pairs = both(part(45), trials, TRAIN | {"epochs": 1}, ECONOMY)
    assert gap(pairs) <= 1e-5
    assert pairs[0][1].n_steps == -(-45 // batch)


@pytest.mark.parametrize(("inputs", "classes"), [(2, 2), (5, 3), (41, 19)])
@pytest.mark.parametrize("rule", RULE_NAMES)
def test_any_number_of_inputs_and_classes_will_do(rule, inputs, classes):
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(50, inputs, generator=rng)
    y = torch.randint(classes, (50,), generator=rng)
    data = Data(x[:30], y[:30], x[30:], y[30:], classes)
    pairs = both(data, some(rule), TRAIN, PLAIN)
    assert gap(pairs) <= 1e-5
    assert all(np.array_equal(a.predicted, b.predicted) for a, b in pairs)


def test_exclusive_or_is_learnt():
    x = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    y = torch.tensor([0, 1, 1, 0])
    data = Data(x, y, x, y, 2)
    train = TRAIN | {"epochs": 300, "watch": False}
    fits = fit_fused(data, [trial(rule, lr=1e-2, batch=3) for rule in RULE_NAMES], train, PLAIN)
    assert [fit.accuracy for fit in fits] == [1, 1, 1]


@pytest.mark.parametrize("rule", RULE_NAMES)
def test_bytes_are_learnt_as_the_numbers_they_stand_for(rule):
    whole = digits()
    pixels, held = ((x * 16).byte() for x in (whole.x, whole.held_x))
    data = Data(pixels, whole.y, held, whole.held_y, 10)
    numbers = dataclasses.replace(data, x=pixels.float() / 255, held_x=held.float() / 255)
    one, other = (fit_fused(each, some(rule), TRAIN, PLAIN) for each in (data, numbers))
    assert [a.parameter_hash for a in one] == [b.parameter_hash for b in other]


def test_neither_company_nor_order_changes_a_bit():
    trials = [one for rule in RULE_NAMES for one in some(rule) + some(rule, "relu")]
    together = fit_fused(part(100), trials, TRAIN, PLAIN)
    reversed_ = fit_fused(part(100), trials[::-1], TRAIN, PLAIN)[::-1]
    alone = [fit_fused(part(100), [one], TRAIN, PLAIN)[0] for one in trials]
    for a, b, c in zip(together, reversed_, alone, strict=True):
        assert a.parameter_hash == b.parameter_hash == c.parameter_hash
        assert a.losses == b.losses == c.losses
    assert len({fit.parameter_hash for fit in together}) == len(trials)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("rule", RULE_NAMES)
def test_a_trial_diverges_in_the_same_epoch_and_alone(rule, activation):
    trials = some(rule, activation)
    trials[1] = trials[1]._replace(lr=1e37)
    pairs = both(part(300), trials, TRAIN, PLAIN)
    for a, b in pairs:
        assert (a.status, a.diverged_epoch) == (b.status, b.diverged_epoch)
        assert (a.loss is None) == (b.loss is None) == (a.status == "diverged")
        assert a.accuracy == pytest.approx(b.accuracy, abs=2.01 / 288)
    assert [b.status for _, b in pairs] == ["ok", "diverged", "ok"]


@pytest.mark.parametrize("rule", RULE_NAMES)
def test_unwatched_trials_are_scored_once(rule):
    watched, once = (
        fit_fused(part(100), some(rule), TRAIN | {"watch": watch}, PLAIN) for watch in (True, False)
    )
    for a, b in zip(watched, once, strict=True):
        assert (len(a.losses), a.losses[-1:], a.curve[-1:]) == (2, b.losses, b.curve)


def test_phases_add_up_to_the_time_of_a_trial():
    cost = fit_fused(part(100), [trial()], TRAIN, PLAIN)[0].cost
    names = {f"{name}_s" for name in ("data", "free", "nudged", "update", "evaluate")}
    assert set(cost) == {"fit_s", "cpu_s"} | names
    assert sum(cost[name] for name in names) == pytest.approx(cost["fit_s"])


def test_double_precision_and_odd_widths_are_refused():
    with pytest.raises(ValueError, match="float64: the fused trainer computes in float32 only"):
        fit_fused(digits(torch.float64), [trial()], TRAIN, PLAIN)
    with pytest.raises(ValueError, match="hidden is 12: the fused trainer needs a multiple of 8"):
        fit_fused(digits(SINGLE), [trial(hidden=12)], TRAIN, PLAIN)


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
