"""Scores of predicted ordered categories: scikit-learn's, scipy's, and cases worked by hand."""

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics

from scripts.deep_gpcm.metrics import calibration_error, confusion, kendall_tau, qwk, scores


def answers(n: int, categories: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities (n, K) and responses (n,) that depend on them a little."""
    rng = np.random.default_rng(seed)
    probability = rng.dirichlet(np.ones(categories) / 2, n)
    drawn = (probability.cumsum(1) < rng.random((n, 1))).sum(1).clip(max=categories - 1)
    return probability, np.where(rng.random(n) < 0.6, drawn, rng.integers(0, categories, n))


def one_hot(predicted: list[int], categories: int) -> np.ndarray:
    return np.eye(categories)[predicted]


@pytest.mark.parametrize("categories", [2, 3, 4, 7])
def test_scores_are_those_of_scikit_learn_and_scipy(categories):
    probability, response = answers(500, categories, seed=categories)
    predicted, found = probability.argmax(1), scores(probability, response)
    expected = {
        "nll": metrics.log_loss(response, probability, labels=range(categories)),
        "qwk": metrics.cohen_kappa_score(response, predicted, weights="quadratic"),
        "accuracy": metrics.accuracy_score(response, predicted),
        "ordinal_accuracy": (abs(response - predicted) <= 1).mean(),
        "mae": metrics.mean_absolute_error(response, predicted),
        "rmse": metrics.root_mean_squared_error(response, predicted),
        "kendall_tau": stats.kendalltau(response, predicted).statistic,
        "confidence": probability.max(1).mean(),
    }
    assert {name: found[name] for name in expected} == pytest.approx(expected, abs=1e-12)
    assert set(found) == {*expected, "ece"}
    assert all(type(value) is float for value in found.values())
    counts = metrics.confusion_matrix(response, predicted, labels=range(categories))
    assert np.array_equal(confusion(response, predicted, categories), counts)


def test_a_case_worked_by_hand():
    # Responses 0 0 1 2, predictions 0 1 1 0. Squared distances sum to 5; by chance, with margins
    # (2 1 1) and (2 2 0), to 16 / 4. Of 6 pairs 1 is concordant and 2 are discordant; 1 is tied in
    # the response and 2 in the prediction: tau-b is -1 / sqrt(5 * 4).
    found = scores(one_hot([0, 1, 1, 0], 3), np.array([0, 0, 1, 2]))
    assert found["qwk"] == pytest.approx(1 - 5 / 4)
    assert found["kendall_tau"] == pytest.approx(-1 / np.sqrt(20))
    assert found["accuracy"] == 1 / 2
    assert found["ordinal_accuracy"] == 3 / 4
    assert found["mae"] == 3 / 4
    assert found["rmse"] == pytest.approx(np.sqrt(5 / 4))
    assert found["confidence"] == 1
    assert found["ece"] == 1 / 2


def test_calibration_is_the_mean_gap_of_ten_bins_closed_above():
    confidence = np.array([0.3, 0.25, 0.6, 0.55, 1.0])
    correct = np.array([True, False, True, True, False])
    # (.2, .3]: |1 - .55|; (.5, .6]: |2 - 1.15|; (.9, 1]: |0 - 1|.
    assert calibration_error(confidence, correct) == pytest.approx((0.45 + 0.85 + 1) / 5)
    # 0.31 is in another bin than 0.3, and there its gap cannot cancel.
    assert calibration_error(np.array([0.3, 0.25]), np.array([1, 0])) == pytest.approx(0.45 / 2)
    assert calibration_error(np.array([0.31, 0.25]), np.array([1, 0])) == pytest.approx(0.94 / 2)


def test_the_perfect_predictor():
    response = np.array([0, 1, 2, 3, 1])
    found = scores(one_hot(response, 4), response)
    assert found == {
        "nll": 0, "qwk": 1, "accuracy": 1, "ordinal_accuracy": 1, "mae": 0, "rmse": 0,
        "kendall_tau": pytest.approx(1), "ece": 0, "confidence": 1,
    }  # fmt: skip


def test_the_reversed_predictor_has_kappa_and_tau_minus_one():
    response = np.array([0, 1, 2, 0, 1, 2])
    found = scores(one_hot(2 - response, 3), response)
    assert found["qwk"] == pytest.approx(-1)
    assert found["kendall_tau"] == pytest.approx(-1)


@pytest.mark.parametrize("response", [[0, 1, 2, 1], [1, 1, 1, 1], [0, 0, 0, 0]])
def test_a_constant_predictor_has_no_kappa_and_no_tau_but_zero(response):
    found = scores(np.tile([0.2, 0.5, 0.3], (4, 1)), np.array(response))
    assert found["qwk"] == found["kendall_tau"] == 0
    assert found["confidence"] == 0.5
    assert np.isfinite(list(found.values())).all()


def test_nothing_depends_on_the_order_of_answers_or_on_their_integer_type():
    probability, response = answers(300, 12)
    found, order = scores(probability, response), np.random.default_rng(1).permutation(300)
    assert scores(probability[order], response[order]) == pytest.approx(found, rel=1e-12)
    assert scores(probability, response.astype(np.int8)) == found


def test_reversing_the_categories_changes_no_score():
    probability, response = answers(300, 4)
    mirrored = scores(probability[:, ::-1], 3 - response)
    assert mirrored == pytest.approx(scores(probability, response), rel=1e-12)


def test_giving_every_answer_twice_changes_no_score():
    probability, response = answers(200, 4)
    doubled = scores(np.repeat(probability, 2, 0), np.repeat(response, 2))
    single = scores(probability, response)
    assert doubled == pytest.approx(single, rel=1e-12)


def test_kappa_sees_how_far_off_a_prediction_is_and_accuracy_does_not():
    response = np.array([0, 1, 2, 3, 0, 3])
    near = scores(one_hot([0, 1, 2, 3, 1, 2], 4), response)
    far = scores(one_hot([0, 1, 2, 3, 3, 0], 4), response)
    assert near["accuracy"] == far["accuracy"]
    assert near["qwk"] > far["qwk"] + 0.5
    assert near["kendall_tau"] > far["kendall_tau"] + 0.5


def test_an_impossible_answer_costs_much_and_a_tiny_probability_costs_its_logarithm():
    response = np.array([1])
    assert scores(np.array([[1.0, 0.0]]), response)["nll"] == pytest.approx(708.396, abs=1e-3)
    assert scores(np.array([[1.0, 1e-30]]), response)["nll"] == pytest.approx(69.078, abs=1e-3)


def test_probabilities_in_single_precision_are_scored_in_double():
    probability, response = answers(1000, 4)
    single = scores(probability.astype(np.float32), response)
    assert single == pytest.approx(scores(probability, response), rel=1e-6)


def test_pairs_of_many_answers_do_not_overflow():
    rng = np.random.default_rng(0)
    few = rng.integers(1, 9, (5, 5))
    many = few * 10**9
    assert kendall_tau(many) == pytest.approx(kendall_tau(few), rel=1e-12)
    assert qwk(many) == pytest.approx(qwk(few), rel=1e-12)
