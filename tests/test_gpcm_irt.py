"""The GPCM, its marginal likelihood, and abilities traced by Bayes' rule."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import approx_fprime, minimize

from scripts.deep_gpcm.data.fold import Fold, Sequences
from scripts.deep_gpcm.models.irt.baselines import TruthMissing, learn
from scripts.deep_gpcm.models.irt.marginal import answer_counts, fit, log_likelihood, unpacked
from scripts.deep_gpcm.models.irt.partial_credit import Parameters, log_p, trace
from scripts.deep_gpcm.models.irt.quadrature import standard_normal
from tests.gpcm_answers import answers, fold_of, of_students, parameters
from tests.gpcm_networks import BASELINES

MIXED = np.array([4, 2, 3, 4, 2])


def by_definition(theta: float, alpha: float, beta: np.ndarray) -> np.ndarray:
    """Probabilities of one item, written out."""
    z = [sum(alpha * (theta - b) for b in beta[:k]) for k in range(len(beta) + 1)]
    odds = np.exp(np.array(z) - max(z))
    return odds / odds.sum()


def hermite(nodes: int = 160) -> tuple[np.ndarray, np.ndarray]:
    theta, weight = np.polynomial.hermite_e.hermegauss(nodes)
    return theta, weight / weight.sum()


def test_probabilities_are_the_definition_s_and_zero_beyond_an_items_levels():
    truth = parameters(3, MIXED, seed=1)
    p = np.exp(log_p(truth.theta, truth.alpha, truth.beta, MIXED))
    assert p.shape == (3, 5, 4)
    for s, theta in enumerate(truth.theta):
        for q, levels in enumerate(MIXED):
            own = by_definition(theta, truth.alpha[q], truth.beta[q, : levels - 1])
            assert p[s, q, :levels] == pytest.approx(own, abs=1e-14)
            assert (p[s, q, levels:] == 0).all()


def test_probabilities_survive_where_exponentials_overflow():
    log = log_p(np.array([-50.0, 50.0]), np.array([40.0]), np.array([[0.0, 1.0]]), np.array([3]))
    assert np.isfinite(log).all()
    assert np.exp(log).argmax(2).ravel().tolist() == [0, 2]
    assert log[1, 0, 0] == pytest.approx(-40 * 99)


def test_nodes_integrate_the_normal_law():
    theta, log_weight = standard_normal()
    moments = [(np.exp(log_weight) * theta**power).sum() for power in range(5)]
    assert moments == pytest.approx([1, 0, 1, 0, 3], abs=2e-3)


def test_the_gradient_is_that_of_finite_differences():
    counts = answer_counts(answers(parameters(40, MIXED, seed=2), 12), 5, 4)
    x = np.random.default_rng(0).normal(0, 0.5, 5 + 5 * 3)
    found = log_likelihood(x, counts, MIXED)[1]
    numeric = approx_fprime(x, lambda x: log_likelihood(x, counts, MIXED)[0], 1e-6)
    assert found == pytest.approx(numeric, abs=2e-3, rel=1e-4)
    absent = np.arange(1, 4) >= MIXED[:, None]
    assert (unpacked(found, 5)[1][absent] == 0).all()
    assert (np.abs(unpacked(found, 5)[1][~absent]) > 1e-3).all()


def test_the_fit_is_that_of_a_slow_one_with_another_quadrature_and_no_gradient():
    levels = np.array([3, 2, 3])
    truth = parameters(60, levels, seed=3)
    seen = answers(truth, 8)
    theta, weight = hermite()
    rows = np.split(np.arange(len(seen.question)), seen.starts[1:])

    def loss(x: np.ndarray) -> float:
        alpha, beta = np.exp(x[:3]), [x[3:5], x[5:6], x[6:8]]
        table = [
            np.array([by_definition(t, a, b) for t in theta])
            for a, b in zip(alpha, beta, strict=True)
        ]
        total = (x[:3] ** 2).sum() / (2 * 0.5**2) + (x[3:] ** 2).sum() / (2 * 2**2)
        for own in rows:
            joint = weight.copy()
            for q, r in zip(seen.question[own], seen.response[own], strict=True):
                joint *= table[q - 1][:, r]
            total -= np.log(joint.sum())
        return total

    slow = minimize(loss, np.zeros(8), method="BFGS", options={"gtol": 1e-3})
    fast = fit(seen, levels)
    assert fast.converged
    assert np.log(fast.alpha) == pytest.approx(slow.x[:3], abs=1e-4)
    own = fast.beta[~np.isnan(fast.beta)]
    assert own == pytest.approx(slow.x[3:], abs=1e-4)
    priors = (slow.x[:3] ** 2).sum() / (2 * 0.5**2) + (slow.x[3:] ** 2).sum() / (2 * 2**2)
    assert fast.log_likelihood == pytest.approx(priors - slow.fun, abs=1e-4)
    assert np.isnan(fast.beta).tolist() == [[False, False], [False, True], [False, False]]


def test_every_answer_of_a_student_counts_also_repeated_ones_and_those_of_other_windows():
    whole = Sequences(
        student=np.array([7, 9]),
        lengths=np.array([4, 1]),
        question=np.array([1, 2, 1, 1, 2]),
        response=np.array([1, 0, 1, 0, 2]),
    )
    counts = answer_counts(whole, questions=2, categories=3)
    assert counts.toarray().tolist() == [[1, 2, 0, 1, 0, 0], [0, 0, 0, 0, 0, 1]]
    cut = replace(whole, student=np.array([7, 7, 9]), lengths=np.array([3, 1, 1]))
    assert (answer_counts(cut, 2, 3) != counts).nnz == 0
    strangers = replace(cut, student=np.array([7, 8, 9]))
    assert answer_counts(strangers, 2, 3).shape == (3, 6)


def test_an_item_that_nobody_answered_keeps_the_mode_of_its_prior():
    levels = np.array([3, 3, 3])
    seen = answers(parameters(30, levels[:2], seed=4), 6)
    found = fit(seen, levels)
    assert found.alpha[2] == 1
    assert (found.beta[2] == 0).all()
    assert (np.abs(found.alpha[:2] - 1) > 1e-3).all()


def test_a_fit_that_is_cut_short_says_so(monkeypatch):
    seen = answers(parameters(30, MIXED, seed=4), 6)
    assert fit(seen, MIXED).converged
    monkeypatch.setattr("scripts.deep_gpcm.models.irt.marginal.MAX_ITERATIONS", 2)
    short = fit(seen, MIXED)
    assert not short.converged
    assert short.gradient > 1e-4


def test_the_order_of_students_and_of_their_answers_does_not_matter_to_the_fit():
    seen = answers(parameters(30, MIXED, seed=5), 6)
    back = Sequences(
        seen.student[::-1], seen.lengths[::-1], seen.question[::-1], seen.response[::-1]
    )
    first, second = fit(seen, MIXED), fit(back, MIXED)
    assert second.alpha == pytest.approx(first.alpha, abs=1e-5)
    assert second.log_likelihood == pytest.approx(first.log_likelihood, abs=1e-6)


def test_tracing_is_bayes_rule_from_scratch_at_every_answer():
    truth = parameters(4, MIXED, seed=6)
    seen = answers(truth, 9)
    probability, ability = trace(seen, truth.alpha, truth.beta, MIXED)
    theta, weight = hermite()
    for start, length in zip(seen.starts, seen.lengths, strict=True):
        for t in range(length):
            joint = weight.copy()
            for q, r in zip(
                seen.question[start : start + t], seen.response[start : start + t], strict=True
            ):
                own = truth.beta[q - 1, : MIXED[q - 1] - 1]
                joint *= [by_definition(node, truth.alpha[q - 1], own)[r] for node in theta]
            joint /= joint.sum()
            q = seen.question[start + t] - 1
            p = [by_definition(x, truth.alpha[q], truth.beta[q, : MIXED[q] - 1]) for x in theta]
            assert probability[start + t, : MIXED[q]] == pytest.approx(joint @ p, abs=1e-5)
            assert ability[start + t] == pytest.approx(joint @ theta, abs=1e-4)


def test_probabilities_sum_to_one_and_spare_categories_an_item_does_not_have():
    truth = parameters(20, MIXED, seed=7)
    seen = answers(truth, 15)
    probability, ability = trace(seen, truth.alpha, truth.beta, MIXED)
    assert probability.sum(1) == pytest.approx(np.ones(len(seen.question)))
    beyond = np.arange(4) >= MIXED[seen.question - 1][:, None]
    assert ((probability == 0) == beyond).all()
    assert np.abs(ability[seen.position == 0]).max() < 1e-12


def test_an_answer_changes_only_what_comes_after_it_in_its_own_sequence():
    truth = parameters(5, MIXED, seed=8)
    seen = answers(truth, 12)
    before = trace(seen, truth.alpha, truth.beta, MIXED)
    for changed in (0, 17, 23, 59):
        response = seen.response.copy()
        response[changed] = (response[changed] + 1) % MIXED[seen.question[changed] - 1]
        after = trace(replace(seen, response=response), truth.alpha, truth.beta, MIXED)
        later = np.arange(60) > changed
        later &= np.arange(60) // 12 == changed // 12
        for old, new in zip(before, after, strict=True):
            same = (old == new).reshape(60, -1).all(1)
            assert (same == ~later).all()


def test_windows_and_other_students_leave_a_trace_alone():
    truth = parameters(6, MIXED, seed=9)
    seen = answers(truth, 10)
    whole = trace(seen, truth.alpha, truth.beta, MIXED)
    alone = trace(of_students(seen, 3, 4), truth.alpha, truth.beta, MIXED)
    cut = replace(seen, student=np.repeat(seen.student, 2), lengths=np.full(12, 5))
    windows = trace(cut, truth.alpha, truth.beta, MIXED)
    first = seen.position < 5
    for a, b, c in zip(whole, alone, windows, strict=True):
        assert np.array_equal(a[30:40], b)
        assert np.array_equal(a[first], c[first])
        assert not np.array_equal(a[~first], c[~first])


def test_abilities_approach_the_truth_as_answers_come_in():
    truth = parameters(200, np.full(40, 4), seed=10)
    seen = answers(truth, 100)
    _, ability = trace(seen, truth.alpha, truth.beta, np.full(40, 4))
    error = np.abs(ability - np.repeat(truth.theta, 100)).reshape(200, 100).mean(0)
    assert error[0] > 2 * error[10] > 4 * error[99] > 0


def tiny() -> tuple[Fold, Parameters]:
    truth = parameters(60, MIXED, seed=11)
    return fold_of(answers(truth, 20), MIXED, train=40, val=5), truth


def predicted(arm: str, fold: Fold, truth: Parameters | None) -> tuple:
    return learn(arm, fold, truth).predict(fold.parts["test"])


def test_the_shares_of_simple_baselines_are_those_of_training_and_validation_students():
    fold, _ = tiny()
    seen = [fold.parts["train"], fold.parts["val"]]
    question = np.concatenate([part.question for part in seen])
    response = np.concatenate([part.response for part in seen])
    majority = predicted("majority", fold, None)[0]
    assert majority.shape == (15 * 20, 4)
    assert (majority == majority[0]).all()
    assert majority[0] == pytest.approx([(response == k).mean() for k in range(4)])
    marginal = predicted("item_marginal", fold, None)[0]
    for row, q in enumerate(fold.parts["test"].question):
        own = response[question == q]
        share = [((own == k).sum() + 1) / (len(own) + MIXED[q - 1]) for k in range(MIXED[q - 1])]
        assert marginal[row] == pytest.approx([*share, *[0] * (4 - MIXED[q - 1])])


@pytest.mark.parametrize("arm", BASELINES)
def test_no_arm_looks_at_the_answer_that_it_predicts_or_at_later_ones(arm):
    fold, truth = tiny()
    test = fold.parts["test"]
    last = test.starts + test.lengths - 1
    response = test.response.copy()
    response[last] = (response[last] + 1) % MIXED[test.question[last] - 1]
    other = replace(fold, parts=fold.parts | {"test": replace(test, response=response)})
    first, second = (predicted(arm, each, truth)[0] for each in (fold, other))
    assert np.array_equal(first, second)
    assert first.sum(1) == pytest.approx(np.ones(len(response)))


def test_knowing_more_costs_fewer_nats():
    levels = np.full(30, 4)
    truth = parameters(400, levels, seed=12)
    fold = fold_of(answers(truth, 40), levels, train=250, val=50)
    test = fold.parts["test"]
    nll = {
        arm: -np.log(predicted(arm, fold, truth)[0][np.arange(4000), test.response]).mean()
        for arm in BASELINES
    }
    order = ["oracle", "bayes", "gpcm", "item_marginal", "majority"]
    assert sorted(nll, key=nll.get) == order
    assert nll["gpcm"] - nll["bayes"] < 0.02 < nll["item_marginal"] - nll["gpcm"]


def test_ceilings_need_a_truth_and_the_oracle_finds_its_students_by_id():
    fold, truth = tiny()
    for arm in ("bayes", "oracle"):
        with pytest.raises(TruthMissing, match="true parameters"):
            learn(arm, fold, None)
    order = np.random.default_rng(0).permutation(60)
    shuffled = replace(truth, student=truth.student[order], theta=truth.theta[order])
    known, theta = predicted("oracle", fold, truth)
    assert np.array_equal(known, predicted("oracle", fold, shuffled)[0])
    assert np.array_equal(theta, np.repeat(truth.theta[45:], 20))
    wrong = replace(truth, theta=truth.theta[order])
    assert not np.array_equal(known, predicted("oracle", fold, wrong)[0])
    with pytest.raises(KeyError, match="student 59"):
        predicted("oracle", fold, replace(truth, student=np.append(np.arange(59), 100)))
