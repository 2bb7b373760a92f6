"""The quadrature of the classical model has the nodes that logs and categories ask for."""

import numpy as np
import pytest

from scripts.deep_gpcm.data.fold import Sequences
from scripts.deep_gpcm.models.irt import marginal
from scripts.deep_gpcm.models.irt.marginal import answer_counts, fit, log_likelihood
from scripts.deep_gpcm.models.irt.partial_credit import trace
from scripts.deep_gpcm.models.irt.quadrature import MOST, finer, first_nodes, standard_normal
from tests.gpcm_answers import answers, parameters

TEN = np.full(12, 10)


@pytest.fixture(scope="module")
def long_logs() -> Sequences:
    """300 answers with ten levels of each of 40 students."""
    return answers(parameters(40, TEN, seed=1), 300)


def test_thresholds_of_long_logs_with_ten_levels_are_those_of_321_nodes(long_logs):
    found, fine, coarse = fit(long_logs, TEN), fit(long_logs, TEN, 321), fit(long_logs, TEN, 81)
    assert found.converged
    assert found.nodes > 321
    assert np.abs(found.beta - fine.beta).max() < 0.03
    # What the test would not see with too few nodes: "converged", and misplaced.
    assert coarse.converged
    assert np.abs(coarse.beta - fine.beta).max() > 0.05


def test_twice_the_nodes_leave_the_log_likelihood_as_it_is(long_logs):
    found = fit(long_logs, TEN)
    x = np.concatenate([np.log(found.alpha), found.beta.ravel()])
    counts = answer_counts(long_logs, 12, 10)
    twice = log_likelihood(x, counts, TEN, finer(found.nodes))[0]
    assert twice == pytest.approx(found.log_likelihood, abs=0.01)


def test_a_start_with_too_few_nodes_is_mended_by_the_log_likelihood(long_logs, monkeypatch):
    expected = fit(long_logs, TEN)
    monkeypatch.setattr(marginal, "first_nodes", lambda *_: 81)
    found = fit(long_logs, TEN)
    assert found.nodes >= 321
    assert np.abs(found.beta - expected.beta).max() < 0.03


def test_a_fit_whose_nodes_never_suffice_is_not_converged(long_logs, monkeypatch):
    monkeypatch.setattr(marginal, "first_nodes", lambda *_: 81)
    monkeypatch.setattr(marginal, "MOST", 81)
    assert not fit(long_logs, TEN).converged


@pytest.mark.slow
def test_more_answers_and_more_levels_ask_for_more_nodes_and_few_for_81():
    def nodes(length, levels):
        return first_nodes(np.zeros(length, int), np.full(length, levels))

    assert [nodes(n, 4) for n in (10, 49, 199, 399)] == [81, 81, 161, 321]
    assert [nodes(100, k) for k in (2, 5, 10)] == [81, 161, 321]
    assert nodes(10**9, 100) == MOST


def test_it_is_the_longest_log_that_counts_and_not_the_mean_one():
    group = np.concatenate([np.zeros(400, int), np.arange(1, 1000)])
    assert first_nodes(group, np.full(len(group), 4)) == 321


def test_nodes_are_kept_when_there_are_more_of_them():
    assert set(standard_normal(81)[0]) <= set(standard_normal(finer(81))[0])


def test_many_items_take_their_nodes_in_parts_and_the_answer_is_the_same(long_logs, monkeypatch):
    counts, x = answer_counts(long_logs, 12, 10), np.random.default_rng(0).normal(0, 0.5, 120)
    whole = log_likelihood(x, counts, TEN, 161)
    monkeypatch.setattr(marginal, "BLOCK", 120 * 50)
    parts = log_likelihood(x, counts, TEN, 161)
    assert parts[0] == pytest.approx(whole[0], rel=1e-12)
    assert parts[1] == pytest.approx(whole[1], rel=1e-9, abs=1e-9)


def test_abilities_and_predictions_of_long_logs_are_those_of_many_nodes(long_logs):
    truth = parameters(40, TEN, seed=1)
    few = Sequences(
        long_logs.student[:4], long_logs.lengths[:4],
        long_logs.question[:1200], long_logs.response[:1200],
    )  # fmt: skip
    own, fine, coarse = (
        trace(few, truth.alpha, truth.beta, TEN, nodes) for nodes in (None, 2561, 81)
    )
    assert np.abs(own[1] - fine[1]).max() < 1e-4
    assert np.abs(own[0] - fine[0]).max() < 1e-4
    assert np.abs(coarse[1] - fine[1]).max() > 1e-2
