"""Estimates against the truth: linked by students' ids, and nothing found where nothing is."""

from dataclasses import replace

import numpy as np
import pytest

from scripts.deep_gpcm.models.irt.marginal import fit
from scripts.deep_gpcm.models.irt.partial_credit import Parameters, log_p, read_truth, trace
from scripts.deep_gpcm.outcome.recovery import (
    aligned,
    last_of,
    linked,
    mean_sigma,
    ordered_share,
    recovery_of,
)
from scripts.lib.table_files import write_table
from tests.gpcm_answers import answers, of_students, parameters

LEVELS = np.full(30, 4)
MIXED = np.array([4, 2, 3, 4, 2])


def rows_of(estimates: Parameters, truth: Parameters) -> dict[str, dict]:
    return {row["parameter"]: row for row in recovery_of(estimates, truth)}


def on_scale(truth: Parameters, slope: float, shift: float) -> Parameters:
    """The same model on the scale theta = slope * theta' + shift."""
    return Parameters(
        truth.student,
        (truth.theta - shift) / slope,
        truth.alpha * slope,
        (truth.beta - shift) / slope,
    )


@pytest.fixture(scope="module")
def simulated() -> tuple[Parameters, Parameters]:
    """Estimates from 500 of 600 students, 60 answers each; abilities are those of the others."""
    truth = parameters(600, LEVELS, seed=1)
    seen = answers(truth, 60)
    found = fit(of_students(seen, 0, 500), LEVELS)
    assert found.converged
    rest = of_students(seen, 500, 600)
    _, ability = trace(rest, found.alpha, found.beta, LEVELS)
    student, theta = last_of(np.repeat(rest.student, rest.lengths), ability)
    return Parameters(student, theta, found.alpha, found.beta), truth


def test_linking_undoes_any_linear_change_of_scale():
    truth = parameters(50, MIXED, seed=2)
    other = on_scale(truth, slope=2.5, shift=-0.7)
    assert mean_sigma(other.theta, truth.theta) == pytest.approx((2.5, -0.7))
    back = linked(other, 2.5, -0.7)
    for name in ("theta", "alpha", "beta"):
        assert getattr(back, name) == pytest.approx(getattr(truth, name), nan_ok=True)
    for row in rows_of(other, truth).values():
        assert row["correlation"] == pytest.approx(1)
        assert row["bias"] == pytest.approx(0, abs=1e-12)
        assert row["rmse"] == pytest.approx(0, abs=1e-12)
    assert rows_of(other, truth)["theta"]["slope"] == pytest.approx(1 / 2.5)
    assert rows_of(other, truth)["alpha"]["slope"] == pytest.approx(2.5)


def test_a_change_of_scale_changes_no_probability():
    truth = parameters(50, MIXED, seed=2)
    other = on_scale(truth, slope=2.5, shift=-0.7)
    first, second = (log_p(p.theta, p.alpha, p.beta, MIXED) for p in (truth, other))
    assert np.exp(second) == pytest.approx(np.exp(first), abs=1e-12)


def test_a_constant_scale_error_per_parameter_stays_visible():
    truth = parameters(50, MIXED, seed=2)
    skewed = replace(truth, alpha=1.2 * truth.alpha, beta=truth.beta + 0.3)
    rows = rows_of(skewed, truth)
    assert rows["theta"]["rmse"] == pytest.approx(0, abs=1e-12)
    assert rows["alpha"]["bias"] == pytest.approx(0.2 * truth.alpha.mean())
    assert rows["beta_1"]["bias"] == pytest.approx(0.3)
    assert rows["beta_1"]["correlation"] == pytest.approx(1)


def test_rows_count_the_students_both_know_and_the_items_that_have_the_threshold():
    truth = parameters(50, MIXED, seed=2)
    some = replace(truth, student=truth.student[10:] + 5, theta=truth.theta[10:].copy())
    some.theta[0] = np.nan
    counted = {name: row["n"] for name, row in rows_of(some, truth).items()}
    assert counted == {"theta": 34, "alpha": 5, "beta_1": 5, "beta_2": 3, "beta_3": 2}


def test_students_are_paired_by_id_in_whatever_order_they_come():
    truth = parameters(50, MIXED, seed=2)
    order = np.random.default_rng(0).permutation(50)[:20]
    some = replace(truth, student=truth.student[order], theta=truth.theta[order])
    first, second = aligned(some, truth)
    assert np.array_equal(first.theta, second.theta)
    assert rows_of(some, truth)["theta"]["correlation"] == pytest.approx(1)


def test_arms_without_estimates_have_rows_without_numbers():
    truth = parameters(50, MIXED, seed=2)
    nothing = Parameters(
        truth.student, np.full(50, np.nan), np.full(5, np.nan), np.full((5, 3), np.nan)
    )
    constant = replace(truth, theta=np.zeros(50), alpha=np.ones(5))
    for row in recovery_of(nothing, truth):
        assert row["n"] == 0
        assert np.isnan([row[name] for name in ("correlation", "bias", "rmse", "slope")]).all()
    for name in ("theta", "alpha"):
        assert np.isnan(rows_of(constant, truth)[name]["correlation"])
    beta = rows_of(constant, truth)["beta_1"]
    assert beta["correlation"] == pytest.approx(1)
    assert np.isnan(beta["rmse"])


def test_the_last_row_of_a_student_is_the_last_in_time():
    student = np.array([4, 4, 2, 2, 2, 9])
    ids, last = last_of(student, np.arange(6.0))
    assert ids.tolist() == [2, 4, 9]
    assert last.tolist() == [4, 1, 5]


def test_thresholds_are_ordered_where_none_falls():
    nan = np.nan
    beta = np.array([[0, 1, 1], [0, 2, 1], [0, nan, nan], [1, 0, nan], [nan, nan, nan]])
    assert ordered_share(beta) == 2 / 4
    assert np.isnan(ordered_share(np.full((3, 2), nan)))


def test_marginal_maximum_likelihood_recovers_what_the_answers_were_drawn_from(simulated):
    rows = rows_of(*simulated)
    assert rows["theta"]["n"] == 100
    assert rows["theta"]["correlation"] > 0.97
    for name in ("alpha", "beta_1", "beta_2", "beta_3"):
        assert rows[name]["n"] == 30
        assert rows[name]["correlation"] > 0.95
        assert abs(rows[name]["bias"]) < 0.06
    assert rows["alpha"]["rmse"] < 0.12
    assert all(rows[f"beta_{h}"]["rmse"] < 0.25 for h in (1, 2, 3))


def test_more_students_bring_the_items_closer(simulated):
    estimates, truth = simulated
    few = fit(of_students(answers(truth, 60), 0, 60), LEVELS)
    fewer = rows_of(replace(estimates, alpha=few.alpha, beta=few.beta), truth)
    rows = rows_of(estimates, truth)
    for name in ("alpha", "beta_1", "beta_2", "beta_3"):
        assert fewer[name]["rmse"] > 1.5 * rows[name]["rmse"]


def test_abilities_of_other_students_have_nothing_to_do_with_the_estimates(simulated):
    # The original compared its test students with the first of all students.
    estimates, truth = simulated
    right = rows_of(estimates, truth)
    wrong = rows_of(replace(estimates, student=np.arange(100)), truth)
    assert abs(wrong["theta"]["correlation"]) < 0.3 < 0.97 < right["theta"]["correlation"]
    assert wrong["theta"]["rmse"] > 5 * right["theta"]["rmse"]


def test_shuffled_items_are_not_recovered(simulated):
    estimates, truth = simulated
    moved = np.roll(np.arange(30), 7)
    wrong = rows_of(replace(estimates, alpha=estimates.alpha[moved]), truth)
    assert (
        abs(wrong["alpha"]["correlation"]) < 0.5 < rows_of(estimates, truth)["alpha"]["correlation"]
    )


def test_truth_is_read_from_the_tables_and_is_none_where_it_is_not_known(tmp_path):
    items, students = tmp_path / "items.parquet", tmp_path / "students.parquet"
    truth = parameters(50, MIXED, seed=2)
    beta = {f"beta_{h}": column for h, column in enumerate(truth.beta.T, start=1)}
    columns = {"question_id": np.arange(1, 6), "categories": MIXED, "alpha": truth.alpha, **beta}
    write_table(items, columns)
    write_table(students, {"student_id": truth.student.astype(np.int32), "theta": truth.theta})
    read = read_truth(items, students)
    for name in ("student", "theta", "alpha", "beta"):
        assert np.array_equal(getattr(read, name), getattr(truth, name), equal_nan=True)
    write_table(items, columns | {"alpha": np.full(5, np.nan)})
    assert read_truth(items, students) is None
    write_table(items, columns | {"alpha": [None] * 5})
    assert read_truth(items, students) is None
