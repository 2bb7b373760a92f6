"""Engression with covariates: gradients, scores, splits, and what is refused."""

import itertools
import math
from copy import deepcopy

import numpy as np
import pytest
import torch
import yaml
from scipy import stats

from scripts.engression.models.exact import GroupedGradient
from scripts.engression.models.fit import Problem
from scripts.engression.models.losses import broadcast_loss, grouped_gradient, pooled_gradient
from scripts.engression.models.network import Backprop, initial, inputs, views
from scripts.engression.models.pooled import PooledGradient
from scripts.engression.models.projected import ProjectedGradient
from scripts.engression.models.reference import module_of
from scripts.engression.settings import Options
from scripts.lib.config import read_settings
from scripts.lib.faults import ConfigError, LoadError
from scripts.lib.own_study import Unit
from scripts.lib.root import ROOT
from scripts.lib.seeds import numpy_rng
from scripts.lib.timing import Phases
from scripts.regression.metrics import energy_scores, scores
from scripts.regression.sources import CURVES, Source, check_source, drawn, read
from scripts.regression.split import split, standardised
from scripts.regression.wrong import PoolsGiven
from scripts.spine.jobs import Jobs
from scripts.spine.section import two_stage_section
from scripts.spine.train import train_unit
from scripts.spine.two_stage import two_stage

STUDY = two_stage("regression")
SHIPPED = yaml.safe_load((ROOT / "config/regression.yaml").read_text())["regression"]
SECTION = read_settings(two_stage_section(STUDY), SHIPPED, "regression")
NOISE, HIDDEN = 8, 5
DIMENSIONS = pytest.mark.parametrize("d", [1, 2])


def data_point(d: int, count: int = 6):
    """Responses (count,) or (count, d), covariates (count, 3), widths and weights, in float64."""
    rng = torch.Generator().manual_seed(d)
    widths = [NOISE + 3, HIDDEN, 4, d]
    flat = initial(widths, rng, torch.float64)
    x = torch.randn(count, d, generator=rng, dtype=torch.float64).squeeze(1)
    return x, torch.randn(count, 3, generator=rng, dtype=torch.float64), widths, flat


def estimate(kind, d: int, m: int = 4, seed: int = 5, count: int = 6, **options):
    """Loss and gradient of one call of an estimator with covariates."""
    x, given, widths, flat = data_point(d, count)
    train = SECTION.train.model_copy(update={"m": m, "batch": count})
    noise = torch.Generator().manual_seed(seed)
    gradient = torch.full_like(flat, torch.nan)
    told = Options(draws_per_point=m, **options)
    problem = Problem(x, flat, widths, train, told, noise, noise, Phases(), given)
    return float(kind(problem, gradient)(x, given)[0]), gradient


def by_autograd(d: int, rows: torch.Tensor, loss_of, count: int = 6):
    """Loss and gradient of the network's values for these rows of noise and covariates."""
    x, _, widths, flat = data_point(d, count)
    net = module_of(flat, widths)
    loss = loss_of(x.view(count, d), net(rows))
    found = torch.autograd.grad(loss, [*net.parameters()])
    return float(loss.detach()), torch.cat([part.flatten() for part in found])


def normals(seed: int, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).double()


@DIMENSIONS
def test_the_exact_gradient_with_covariates_is_that_of_autograd_on_the_same_noise(d):
    loss, gradient = estimate(GroupedGradient, d)
    rows = inputs(normals(5, 6 * 4, NOISE), data_point(d)[1])
    expected, slopes = by_autograd(d, rows, lambda x, y: broadcast_loss(x, y.view(6, 4, d))[0])
    assert loss == pytest.approx(expected, rel=1e-12)
    assert torch.allclose(gradient, slopes, rtol=1e-9, atol=1e-13)


@DIMENSIONS
@pytest.mark.parametrize("antithetic", [False, True])
def test_the_projected_gradient_with_covariates_is_that_of_noise_in_the_row_space(d, antithetic):
    # As without covariates: eps = W' L^-T u is E[eps | z], and the gradient is linear in eps.
    loss, gradient = estimate(ProjectedGradient, d, antithetic=antithetic)
    u = normals(5, 6 * (2 if antithetic else 4), HIDDEN)
    u = torch.cat([u, -u]) if antithetic else u
    _, given, widths, flat = data_point(d)
    weight = views(flat, widths)[0][0][:, :NOISE]
    root = torch.linalg.cholesky(weight @ weight.t())
    eps = torch.linalg.solve_triangular(root.t(), u.t(), upper=True).t() @ weight
    rows = torch.cat([eps, given.repeat(4, 1)], 1)  # a draw of each point, then another of each

    def loss_of(x, y):
        y = y.view(4, 6, d).transpose(0, 1)
        kept = [(j, k) for j in range(4) for k in range(4) if j != k]
        if antithetic:
            kept = [(j, k) for j, k in kept if abs(j - k) != 2]
        pairs = torch.stack([(y[:, j] - y[:, k]).norm(dim=1) for j, k in kept]).mean()
        return (x.unsqueeze(1) - y).norm(dim=2).mean() - pairs / 2

    expected, slopes = by_autograd(d, rows, loss_of)
    assert loss == pytest.approx(expected, rel=1e-10)
    assert torch.allclose(gradient, slopes, rtol=1e-7, atol=1e-11)


@DIMENSIONS
@pytest.mark.parametrize(
    ("kind", "options"),
    [(ProjectedGradient, {}), (ProjectedGradient, {"antithetic": True}), (PoolsGiven, {})],
    ids=["projected", "mirrored", "pools_given"],
)
def test_estimators_that_may_be_used_with_covariates_expect_the_references_gradient(
    d, kind, options
):
    """The wrong twin, which pools, does not: the same test tells it."""
    count = 600
    found = torch.stack([estimate(kind, d, seed=i, **options)[1] for i in range(count)])
    expected = torch.stack([estimate(GroupedGradient, d, seed=i)[1] for i in range(count)])
    error = ((found.var(0) + expected.var(0)) / count).sqrt()
    z = (found.mean(0) - expected.mean(0)) / error.clamp_min(1e-12)
    worst = float(z.abs().max())
    assert (worst > 6) if kind is PoolsGiven else (worst < 4.5), worst


def test_pooling_is_refused_with_covariates():
    with pytest.raises(ValueError, match="with covariates none may"):
        estimate(PooledGradient, 1)


@pytest.mark.parametrize("antithetic", [False, True])
def test_gradients_in_space_are_those_of_autograd_of_the_definition(antithetic):
    x, y = normals(1, 5, 3), normals(2, 5, 4, 3)

    def pairs(y):
        gaps = (y.unsqueeze(2) - y.unsqueeze(1) + torch.eye(4).view(1, 4, 4, 1)).norm(dim=3)
        kept = ~torch.eye(4, dtype=torch.bool)
        if antithetic:
            kept &= ~torch.eye(4, dtype=torch.bool).roll(2, 0)
        return gaps[:, kept].mean()

    free = y.clone().requires_grad_()
    loss = (x.unsqueeze(1) - free).norm(dim=2).mean() - pairs(free) / 2
    loss.backward()
    term1, term2, gradient = grouped_gradient(x, y, 5, antithetic)
    assert float(term1 - term2 / 2) / 5 == pytest.approx(float(loss.detach()), rel=1e-12)
    assert torch.allclose(gradient, free.grad, atol=1e-14)

    shared = y[0].clone().requires_grad_()
    loss = (x.unsqueeze(1) - shared).norm(dim=2).mean() - pairs(shared.unsqueeze(0)) / 2
    loss.backward()
    found = pooled_gradient(x, y[0], antithetic)
    assert found[0] == pytest.approx(float(loss.detach()), rel=1e-12)
    assert torch.allclose(found[3], shared.grad, atol=1e-14)


def test_draws_that_coincide_in_space_have_no_direction():
    y = torch.zeros(2, 4, 3, dtype=torch.float64)
    for antithetic in (False, True):
        assert not grouped_gradient(torch.zeros(2, 3), y, 2, antithetic)[2].any()
        assert not pooled_gradient(torch.zeros(2, 3), y[0], antithetic)[3].any()


def test_backprop_through_several_outputs_is_that_of_autograd():
    _, _, widths, flat = data_point(2)
    rows, slopes = normals(1, 7, widths[0]), normals(2, 7, 2)
    net = module_of(flat, widths)
    expected = torch.autograd.grad((net(rows) * slopes).sum(), [*net.parameters()])
    gradient = torch.zeros_like(flat)
    passes = Backprop(views(flat, widths), views(gradient, widths), 7)
    passes.forward(rows)
    passes.backward(slopes)
    assert torch.allclose(gradient, torch.cat([g.flatten() for g in expected]), atol=1e-13)


@DIMENSIONS
def test_the_energy_score_is_that_of_its_definition(d):
    rng = numpy_rng(0, "scores", d)
    y, draws = rng.normal(size=(3, d)), rng.normal(size=(3, 6, d))
    for i in range(3):
        near = np.mean([np.linalg.norm(y[i] - a) for a in draws[i]])
        others = [(a, b) for a, b in itertools.product(range(6), repeat=2) if a != b]
        pairs = [np.linalg.norm(draws[i, a] - draws[i, b]) for a, b in others]
        assert energy_scores(y, draws)[i] == pytest.approx(near - np.mean(pairs) / 2)


def test_the_energy_score_of_a_normal_law_is_its_crps():
    y = np.array([[-1.0], [0.0], [2.5]])
    draws = numpy_rng(0, "crps").normal(size=(200, 3, 4000)).transpose(1, 2, 0)
    found = np.mean([energy_scores(y, draws[:, :, [i]]) for i in range(200)], axis=0)
    z = y[:, 0]
    crps = z * (2 * stats.norm.cdf(z) - 1) + 2 * stats.norm.pdf(z) - 1 / math.sqrt(math.pi)
    assert np.allclose(found, crps, atol=0.005)


def test_the_interval_of_the_right_law_covers_nine_tenths():
    rng = numpy_rng(0, "coverage")
    y, draws = rng.normal(size=(20_000, 1)), rng.normal(size=(20_000, 99, 1))
    found = scores(y, draws)
    assert abs(found["coverage"] - 0.9) < 4 * math.sqrt(0.09 / 20_000)
    assert scores(y, 0.5 * draws)["coverage"] < 0.7


def test_inside_every_row_trains_or_tests_and_the_share_is_kept():
    table = read(Source(file=str(ROOT / "config/tables/engel.csv"), x=["income"], y=["foodexp"]))
    train, test = split(table, "inside", 0.25, 0.3, numpy_rng(0, "a"))
    assert sorted([*train, *test]) == list(range(235))
    assert len(test) == 59
    again, _ = split(table, "inside", 0.25, 0.3, numpy_rng(0, "b"))
    assert set(train) != set(again)


def test_beyond_every_row_that_tests_lies_above_every_row_that_trains():
    x = np.array([1.0] * 60 + [2.0] * 30 + [3.0] * 10)[:, None]
    table = drawn(Source(generated="cubic", rows=100), numpy_rng(0, "t"))._replace(x=x)
    for rep in range(5):
        train, test = split(table, "beyond", 0.25, 0.3, numpy_rng(rep, "split"))
        assert x[train].max() < x[test].min()
        assert len(test) == 10  # rows of one value stay together
        assert len(train) == 68


def test_rows_of_test_have_no_part_in_the_scale():
    table = drawn(Source(generated="softplus", rows=200), numpy_rng(0, "t"))
    train, test = split(table, "inside", 0.25, 0.3, numpy_rng(0, "s"))
    mean, sd = standardised(table, train)
    table.y[test] += 1000
    assert np.array_equal(standardised(table, train), (mean, sd))
    assert mean[1] == pytest.approx(table.y[train].mean())
    assert sd[1] == pytest.approx(table.y[train].std(ddof=1))


def test_noise_enters_a_generated_table_before_its_curve():
    for name, curve in CURVES.items():
        source = Source(generated=name, rows=20_000)
        table = drawn(source, numpy_rng(0, name))
        near = np.abs(table.x[:, 0] - 1) < 0.1
        # The curve rises, so quantiles of y at x = 1 are the curve at those of 1 + noise.
        at = np.quantile(table.y[near], [0.3, 0.5, 0.9])
        assert np.allclose(at, curve(1 + stats.norm.ppf([0.3, 0.5, 0.9])), atol=0.25), name


def changed(**changes):
    return read_settings(two_stage_section(STUDY), deepcopy(SHIPPED) | changes, "regression")


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ({}, "needs either a file or generated"),
        ({"file": "a.csv", "generated": "cubic"}, "needs either a file or generated"),
        ({"file": "a.csv"}, "regression.tables.mine.y is empty"),
        ({"file": "a.csv", "x": ["a"], "y": ["a"]}, "has the column 'a' in x and in y"),
        ({"file": "a.csv", "x": ["a"], "y": ["b"], "along": "b"}, "'b', which is not in x"),
        ({"generated": "cubic", "x": ["x"]}, "is generated"),
        ({"file": "nosuch.csv", "y": ["b"]}, "nosuch.csv: cannot be read"),
        ({"file": "config/tables/engel.csv", "y": ["food"]}, "has no column 'food'"),
    ],
)  # fmt: skip
def test_a_table_that_is_none_is_one_sentence(source, sentence, monkeypatch):
    monkeypatch.chdir(ROOT)
    tables = SHIPPED["tables"] | {"mine": source}
    section = changed(tables=tables, axes={"table": ["mine"], "split": ["inside"]})
    with pytest.raises((ConfigError, LoadError)) as refused:
        STUDY.module.check(section)
    assert sentence in str(refused.value)


def test_short_tables_and_columns_with_one_value_are_refused(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("a,b\n" + "".join(f"{i},1\n" for i in range(50)))
    with pytest.raises(LoadError, match="column 'b' has one value only, 1"):
        check_source(Source(file=str(path), x=["a"], y=["b"]), "here")
    path.write_text("a,b\n" + "".join(f"{i},{i * i}\n" for i in range(39)))
    with pytest.raises(LoadError, match="has 39 rows; expected at least 40"):
        check_source(Source(file=str(path), x=["a"], y=["b"]), "here")


def test_tables_that_nobody_uses_are_not_looked_at():
    tables = SHIPPED["tables"] | {"mine": {"file": "nosuch.csv", "y": ["b"]}}
    section = changed(tables=tables, axes={"table": ["softplus"], "split": ["inside"]})
    STUDY.module.check(section)
    assert STUDY.files(section) == []


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"axes": {"table": ["engels"], "split": ["inside"]}}, "did you mean 'engel'?"),
        ({"net": {"noise_dim": 32, "hidden": 64, "hidden_layers": 2}}, "noise_dim >= net.hidden"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(changes, sentence, monkeypatch):
    monkeypatch.chdir(ROOT)
    with pytest.raises(ConfigError) as refused:
        STUDY.module.check(changed(**changes))
    assert sentence in str(refused.value)


@pytest.mark.parametrize("draws", [2, 5])
def test_mirrored_draws_of_a_point_are_two_pairs_or_more(draws, monkeypatch):
    monkeypatch.chdir(ROOT)
    arms = deepcopy(SHIPPED["arms"])
    arms["mirrored"]["options"]["draws_per_point"] = draws
    with pytest.raises(ConfigError, match=f"draws_per_point is {draws}; mirrored draws"):
        STUDY.module.check(changed(arms=arms))


def test_a_table_without_covariates_has_no_rows_beyond(monkeypatch):
    monkeypatch.chdir(ROOT)
    tables = {"mine": {"file": "config/tables/engel.csv", "y": ["income", "foodexp"]}}
    both = {"table": ["mine"], "split": ["inside", "beyond"]}
    with pytest.raises(ConfigError, match="has no covariate"):
        STUDY.module.check(changed(tables=tables, axes=both))


TABLES = {
    "one": SHIPPED["tables"]["engel"],
    "several": {"file": "config/tables/diabetes.csv", "x": ["age"], "y": ["bmi", "progression"]},
    "no_x": {"file": "config/tables/engel.csv", "y": ["income", "foodexp"]},
}


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("arm", [arm for arm in SHIPPED["arms"] if "official" not in arm])
def test_every_arm_trains_on_every_kind_of_table(arm, table, monkeypatch):
    monkeypatch.chdir(ROOT)
    train = SHIPPED["train"] | {"max_epochs": 2, "patience": 2}
    small = {"net": {"noise_dim": 8, "hidden": 4, "hidden_layers": 1}, "eval": {"draws": 19}}
    axes = {"table": [table], "split": ["inside"]}
    section = changed(tables=TABLES, axes=axes, train=train, reps=5, **small)
    jobs, labels = Jobs(STUDY, section, 42), [table, "inside", 0]
    settings = STUDY.data_settings.model_validate(jobs.load("reps-000-004").settings)
    unit = Unit("regression", 42, dict(zip(STUDY.axes, labels, strict=True)), settings)
    data = STUDY.module.data(unit)
    row = train_unit(STUDY, jobs.train(arm, "reps-000-004"), labels, data)["row"]
    if (arm, table) == ("median_regression", "no_x"):
        assert row["status"] == "failed"
        return
    assert row["status"] == "ok"
    assert arm == "truth" or 0 < row["energy_score"] < 3


def test_the_median_of_a_generated_table_is_known_at_its_rows_of_test():
    settings = STUDY.data_settings(tables=SECTION.tables, split=SECTION.split)
    labels = {"table": "square", "split": "beyond", "rep": 1}
    data = STUDY.module.data(Unit("regression", 42, labels, settings))
    x = data["test_given"][:, 0] * data["sd"][0] + data["mean"][0]
    truth = data["test_median"][:, 0] * data["sd"][1] + data["mean"][1]
    assert np.allclose(truth, CURVES["square"](x), atol=1e-5)
    above = data["test_x"][:, 0] > data["test_median"][:, 0]
    assert abs(above.mean() - 0.5) < 4 * 0.5 / math.sqrt(len(above))


def test_what_a_table_is_read_from_is_no_matter_of_training():
    """So an edit of one table, or one more, trains no unit of another again."""
    job = Jobs(STUDY, SECTION, 42).train("mirrored", "reps-000-004")
    assert "tables" not in job.settings
    assert "tables" in STUDY.data_settings.model_fields


def test_the_package_is_asked_row_by_row_and_keeps_global_streams_as_they_are():
    pytest.importorskip("engression")
    from scripts.regression.peers import fit_official

    given = np.linspace(-1, 1, 80, dtype="float32")[:, None]
    x = np.concatenate([3 * given, -given], axis=1) + 0.01
    unit = Unit("regression", 42, {"table": "t", "split": "inside", "rep": 0}, None)
    unit.data.update(x=x.astype("float32"), given=given)
    state = torch.get_rng_state()
    fitted = fit_official(unit, num_epochs=150, lr=0.01)
    draws = fitted.values(given, 30, unit.torch_rng("test"))
    assert torch.equal(torch.get_rng_state(), state)
    assert draws.shape == (80, 30, 2)
    # Rows are rows of the covariate, and responses stand in the order of the columns.
    assert np.corrcoef(draws.mean(axis=1)[:, 0], given[:, 0])[0, 1] > 0.9
    assert np.corrcoef(draws.mean(axis=1)[:, 1], given[:, 0])[0, 1] < -0.9
    again = fit_official(unit, num_epochs=150, lr=0.01).values(given, 30, unit.torch_rng("test"))
    assert np.array_equal(again, draws)
