"""The stacked arm: the estimator of `projected` in any stack; its draws, its stops, its jobs."""

import numpy as np
import pandas as pd
import pytest
import torch

from scripts.engression.models import stacked_fit
from scripts.engression.models.losses import pooled_gradient, stacked_pooled_gradient
from scripts.engression.models.network import initial, views
from scripts.engression.models.reference import module_of
from scripts.engression.models.stacked_fit import fit_stack
from scripts.engression.models.stacked_gradient import NOISE, StackedGradient, rows_of
from scripts.lib.counter_rng import CounterRng
from scripts.lib.faults import ContractError
from scripts.lib.own_study import Failed
from scripts.lib.units import finished
from scripts.spine.train import train_together
from tests.engression_fits import CONFIG, JOBS, STUDY, WIDTHS, simulate, unit_of
from tests.test_engression_gradients import pooled_loss, relative_l2

LAWS = ("normal", "exponential", "uniform", "lognormal", "chisquare")
FEW = {"max_epochs": 12, "draws_per_point": 2, "early_draws": 8, "early_steps": 5}
PRECISIONS = pytest.mark.parametrize("precision", ["single", "double"])


def units(n: int = 24, count: int = 5, **changes):
    return [unit_of(law, n, rep, **FEW | changes) for rep, law in enumerate(LAWS[:count])]


def assert_same(one, other, precision: str = "single") -> None:
    """Two fits of a unit have the same counts, and numbers up to rounding."""
    atol = {"single": 1e-5, "double": 1e-10}[precision]
    assert (one.n_steps, one.noise_rows) == (other.n_steps, other.noise_rows)
    assert len(one.history) == len(other.history)
    np.testing.assert_allclose(one.history, other.history, rtol=0, atol=atol)
    for name in ("parameters", "early"):
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), rtol=0, atol=atol)


@PRECISIONS
@pytest.mark.parametrize("n", [24, 130])
def test_a_stack_is_its_units_one_at_a_time(n, precision):
    together = fit_stack(units(n, precision=precision))
    for unit, found in zip(units(n, precision=precision), together, strict=True):
        (alone,) = fit_stack([unit])
        assert_same(found, alone, precision)


@pytest.mark.parametrize("size", [1, 3, 5])
def test_neither_order_nor_size_of_the_stack_changes_a_unit(size, monkeypatch):
    whole = fit_stack(units(precision="double"))
    monkeypatch.setattr(stacked_fit, "AT_ONCE", size)
    for order in ([4, 2, 0], [1, 3], [3, 1, 0, 4, 2]):
        mine = units(precision="double")
        for at, found in zip(order, fit_stack([mine[i] for i in order]), strict=True):
            assert_same(found, whole[at], "double")


@pytest.mark.parametrize("share", [1.0, 0.5, 0.0])
def test_a_unit_that_stops_early_is_the_unit_trained_alone(share, monkeypatch):
    """Those beside it go on; it leaves the stack at once, later, or never."""
    monkeypatch.setattr(stacked_fit, "AT_ONCE", 5)
    monkeypatch.setitem(stacked_fit.SHRINK, "cpu", share)
    changes = {"max_epochs": 60, "patience": 2, "lr": 3e-3, "precision": "double"}
    alone = [fit_stack([unit])[0] for unit in units(**changes)]
    assert len({len(fit.history) for fit in alone}) > 2
    for found, one in zip(fit_stack(units(**changes)), alone, strict=True):
        assert_same(found, one, "double")


def test_the_best_parameters_of_each_unit_are_restored():
    changes = {"max_epochs": 30, "patience": 3, "lr": 3e-3, "precision": "double"}
    last, best = (fit_stack(units(**changes, restore=which)) for which in ("last", "best"))
    for at, (found, end) in enumerate(zip(best, last, strict=True)):
        lowest = int(np.argmin([loss for loss, *_ in found.history]))
        assert lowest + 1 < len(found.history)
        (there,) = fit_stack([units(**changes | {"max_epochs": lowest + 1})[at]])
        np.testing.assert_allclose(found.parameters, there.parameters, rtol=0, atol=1e-10)
        assert float((found.parameters - end.parameters).abs().max()) > 1e-4


def stack_estimate(flats, x, step, draws, **changes):
    """(loss and terms, gradient, noise) of one call of the estimator of a stack, in float64."""
    mine = units(4, len(flats), **changes)
    rng = CounterRng([unit.counter_key("draws") for unit in mine], "cpu")
    gradient = torch.full_like(flats, torch.nan)
    told = (WIDTHS, mine[0].options, rng, None)
    estimate = StackedGradient(flats, gradient, *told)
    values = estimate(x, draws, torch.full((1, 1), step))
    count = rows_of(x.shape[1], draws) // (2 if changes.get("antithetic", True) else 1)
    noise = rng.normals(step, NOISE, count * WIDTHS[1]).view(len(flats), count, -1).double()
    return values, gradient, noise


@pytest.mark.parametrize("antithetic", [False, True])
def test_the_gradient_of_a_stack_is_that_of_autograd_of_its_loss(antithetic):
    """Above the first layer of the loss at the draws; of the first layer as in ProjectedGradient:
    at the noise of least norm that gives the same pre-activations."""
    starts = (unit.torch_rng("init") for unit in units())
    flats = torch.stack([initial(WIDTHS, start, torch.float64) for start in starts])
    x = torch.stack([torch.from_numpy(simulate(law, 30, 1)).double() for law in LAWS])
    values, gradient, noise = stack_estimate(flats, x, 3, 4, antithetic=antithetic)
    for i, flat in enumerate(flats):
        u = torch.cat([noise[i], -noise[i]]) if antithetic else noise[i]
        weight = views(flat, WIDTHS)[0][0]
        root = torch.linalg.cholesky(weight @ weight.t())
        eps = torch.linalg.solve_triangular(root.t(), u.t(), upper=True).t() @ weight
        net = module_of(flat, WIDTHS)
        loss = pooled_loss(x[i], net(eps).squeeze(-1), antithetic)
        expected = torch.cat([g.flatten() for g in torch.autograd.grad(loss, [*net.parameters()])])
        assert float(values[i, 0]) == pytest.approx(loss.item(), rel=1e-10)
        assert relative_l2(gradient[i], expected) < 1e-10


@pytest.mark.parametrize("antithetic", [False, True])
@pytest.mark.parametrize("several", [False, True])
def test_the_loss_of_a_stack_is_that_of_each_unit(several, antithetic):
    rng = torch.Generator().manual_seed(0)
    shape = (3,) if several else ()
    x = torch.randn(4, 7, *shape, generator=rng, dtype=torch.float64)
    y = torch.randn(4, 10, *shape, generator=rng, dtype=torch.float64)
    values, gradient = stacked_pooled_gradient(x, y, antithetic)
    for i in range(4):
        *expected, of_unit = pooled_gradient(x[i], y[i].clone(), antithetic)
        assert values[i].tolist() == pytest.approx(expected, rel=1e-12)
        assert torch.allclose(gradient[i], of_unit, rtol=0, atol=1e-15)


def test_a_unit_whose_covariance_has_no_root_fails_and_those_beside_it_do_not(monkeypatch):
    def one_is_zero(widths, rng, dtype):
        flat = initial(widths, rng, dtype)
        return flat * (rng.initial_seed() != units()[1].torch_rng("init").initial_seed())

    usual = fit_stack(units())
    monkeypatch.setattr(stacked_fit, "initial", one_is_zero)
    found = fit_stack(units())
    assert isinstance(found[1], Failed)
    for at in (0, 2, 3, 4):
        assert_same(found[at], usual[at])


def test_a_unit_that_diverges_leaves_those_beside_it_alone():
    mine = units()
    mine[2].data["x"] = np.full(24, 3e38, np.float32)
    found, usual = fit_stack(mine), fit_stack(units())
    assert found[2].diverged
    assert len(found[2].history) == 1
    for at in (0, 1, 3, 4):
        assert_same(found[at], usual[at])


@pytest.mark.parametrize("most", [1, 2])
def test_a_stack_that_the_memory_is_too_small_for_is_trained_in_halves(most, monkeypatch):
    class Small(stacked_fit.Stack):
        def __init__(self, units):
            if len(units) > most:
                raise torch.OutOfMemoryError
            super().__init__(units)

    usual = fit_stack(units(precision="double"))
    monkeypatch.setattr(stacked_fit, "AT_ONCE", 5)
    monkeypatch.setattr(stacked_fit, "Stack", Small)
    for found, one in zip(fit_stack(units(precision="double")), usual, strict=True):
        assert_same(found, one, "double")
    most = 0
    with pytest.raises(ContractError, match=r"^The GPU has too little memory[^\n]*\.$"):
        fit_stack(units(count=1))


def test_covariates_are_refused():
    (unit,) = units(count=1)
    unit.data["given"] = np.zeros((24, 2), np.float32)
    with pytest.raises(ValueError, match="with covariates none may"):
        fit_stack([unit])


def test_an_own_law_of_several_dimensions_is_trained_in_a_stack_of_its_shape():
    mine = units(precision="double", count=2)
    for unit in mine:
        unit.data["x"] = np.stack([unit.data["x"], -unit.data["x"]], 1)
    found = fit_stack(mine)
    assert [fit.widths[-1] for fit in found] == [2, 2]
    (alone,) = fit_stack(mine[1:])
    assert_same(found[1], alone, "double")


def stack_job(n=(24, 30), **changes):
    """A job of the arm on a few units of two sizes, tiny."""
    job = JOBS.timed("stacked", next(iter(CONFIG.measure.workloads.values())))
    few = {"max_epochs": 3, "test_draws": 500} | changes
    settings = unit_of("normal", 4, 0, **few).settings.model_dump(exclude=set(STUDY.module.LOADED))
    labels = [[law, size, 0] for law in LAWS[:2] for size in n]
    return job.model_copy(update={"settings": settings, "units": labels})


def test_units_of_a_job_are_stacked_by_the_shape_of_their_samples(monkeypatch):
    from scripts.spine import train

    job = stack_job()
    arrays = {tuple(u): {"x": simulate(*u)} for u in job.units}
    assert train.stacks(STUDY, job, arrays) == [
        [["normal", 24, 0], ["exponential", 24, 0]],
        [["normal", 30, 0], ["exponential", 30, 0]],
    ]
    alone = job.model_copy(update={"implementation": "projected"})
    assert [len(stack) for stack in train.stacks(STUDY, alone, arrays)] == [1] * 4


def test_a_unit_has_an_equal_share_of_the_time_of_its_stack():
    job = stack_job(n=(24,))
    found = train_together(STUDY, job, [(u, {"x": simulate(*u)}) for u in job.units])
    first, second = (result["row"] for result in found)
    assert first["fit_s"] == second["fit_s"] > 0
    phases = sum(first[f"{name}_s"] for name in STUDY.phases)
    assert phases == pytest.approx(first["fit_s"], rel=1e-6)
    assert first["device"] == "cpu"


def test_a_job_that_was_killed_trains_what_is_missing_and_gets_the_same(tmp_path, monkeypatch):
    """The second unit's file is lost: it is trained again, alone, by the same draws."""
    from scripts.spine import train

    job = stack_job()
    arrays = {tuple(u): {"x": simulate(*u)} for u in job.units}
    monkeypatch.setattr(train, "read_data", lambda path, axes: arrays)
    monkeypatch.setattr(train, "unit_folder", lambda job: tmp_path)
    trained = []

    def recorded(study, job, chosen):
        trained.append([labels for labels, _ in chosen])
        return train_together(study, job, chosen)

    monkeypatch.setattr(train, "train_together", recorded)
    first = train.results(job, tmp_path)
    assert [len(stack) for stack in trained] == [2, 2]
    (lost,) = tmp_path.glob("exponential_24_0-*.json")
    lost.unlink()
    trained.clear()
    again = train.results(job, tmp_path)
    assert trained == [[["exponential", 24, 0]]]
    for result, before in zip(again, first, strict=True):
        np.testing.assert_allclose(result["histories"], before["histories"], rtol=1e-5)
    trained.clear()
    train.results(job, tmp_path)
    assert trained == []


def test_a_kill_between_two_stacks_keeps_the_first(tmp_path):
    """A stack that is done is kept before the next begins."""
    from scripts.spine import train

    job = stack_job()
    arrays = {tuple(u): {"x": simulate(*u)} for u in job.units}
    together, compute = train.stacks(STUDY, job, arrays), train.computing(STUDY, job, arrays)
    done = finished(together, compute, tmp_path, lambda labels: "data")
    next(done)
    assert len(list(tmp_path.glob("*.json"))) == 2
    next(done), next(done)
    assert len(list(tmp_path.glob("*.json"))) == 4


STACKED = """
{reference: {run: {reps: 2}}, truth: {run: {reps: 0}}, exact: {run: {reps: 0}},
 spread_twice: {claim: {min_pairs: 4}, run: {n: [16, 24], reps: 2}},
 stacked: {claim: {min_pairs: 4}, run: {n: [16, 24], reps: 2}}}
"""


def test_the_workflow_holds_the_arm_to_the_reference_and_blocks_change_rounding_at_most(fresh):
    tables = []
    for block, cores in ((1, 2), (2, 1)):
        config = fresh.overlay(arms=STACKED, block=str(block))
        fresh.science(config=config, cores=cores)
        rows = pd.DataFrame(fresh.rows())
        rows = rows[rows["arm"] == "stacked"].set_index(["law", "n", "rep"])
        assert set(rows["device"]) == {"cpu"}
        tables.append(rows[["seed", "n_epochs", "noise_rows", "final_loss", "w1_test"]])
        fresh.forget_units()
    assert len(tables[0]) == 8
    pd.testing.assert_frame_equal(*tables, rtol=1e-4)
    agreement = pd.read_csv(fresh.results / "agreement.csv")
    tests = agreement[(agreement["arm"] == "stacked") & (agreement["test"] == "not_worse")]
    assert set(tests["metric"]) == {"w1_test", "excess_loss"}


def test_the_wrong_twin_fails_what_the_stacked_arm_passes(monkeypatch):
    """At a size that tells them apart, against `pooled`, which costs a tenth of the reference."""
    from tests.test_engression_proof import judged, rows

    job = JOBS.train("antithetic", "reps-000-003").model_copy(
        update={"arm": "stacked", "implementation": "stacked"}
    )
    labels = [[law, 500, 0] for law in LAWS]
    found = train_together(STUDY, job, [(u, {"x": simulate(*u)}) for u in labels])
    stand_in = [row | {"arm": "reference"} for row in rows("pooled", 1)]
    ours = judged("stacked", "not_worse", [*stand_in, *(r["row"] for r in found)], None)
    assert len(ours) == 2
    assert all(row["difference"] < row["margin"] for row in ours)
    wrong = judged("spread_twice", "not_worse", [*stand_in, *rows("spread_twice", 1)], None)
    assert any(row["passed"] is False for row in wrong)
    assert CONFIG.arms["stacked"].claim == CONFIG.arms["spread_twice"].claim
