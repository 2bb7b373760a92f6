"""The numbers of docs/studies/deep_gpcm.md, Golden facts, on data sets A, B and C."""

import numpy as np
import pytest

from scripts.deep_gpcm.data import generator
from scripts.deep_gpcm.data.fold import Fold, Sequences
from scripts.deep_gpcm.metrics import scores
from scripts.deep_gpcm.models.irt.baselines import Learned, learn
from scripts.deep_gpcm.models.irt.marginal import fit
from scripts.deep_gpcm.models.irt.partial_credit import Parameters, trace
from scripts.deep_gpcm.outcome.recovery import last_of, recovery_of
from tests.gpcm_answers import fold_of, of_students
from tests.gpcm_files import data_source

SETS = {
    "A": {"students": 800, "questions": 50, "categories": 4, "lengths": [10, 50]},
    "B": {"students": 500, "questions": 200, "categories": 4, "lengths": [100, 200]},
    "C": {"students": 500, "questions": 40, "categories": 3, "lengths": [15, 40]},
}
NAMES = ("accuracy", "qwk", "ordinal_accuracy", "mae", "nll")


class Data:
    """A data set at seed 42: its answers, truth, and the original's 80/20 split."""

    def __init__(self, name: str):
        read = generator.read(data_source({"kind": "generated"} | SETS[name]), seed=42)
        first = np.flatnonzero(read.t == 0)
        self.truth = Parameters(
            student=read.students["student_id"].to_numpy(),
            theta=read.students["theta"].to_numpy(),
            alpha=read.items["alpha"].to_numpy(),
            beta=read.items.filter(like="beta_").to_numpy(),
        )
        self.whole = Sequences(
            read.student[first],
            np.diff(np.append(first, len(read.t))),
            read.question,
            read.response,
        )
        self.levels = read.items["categories"].to_numpy()
        self.train = len(first) * 4 // 5
        self.split = fold_of(self.whole, self.levels, train=self.train)
        self.all = Fold(self.split.parts | {"test": self.whole}, self.levels)

    def learn(self, arm: str) -> Learned:
        return learn(arm, self.split, self.truth)


def scored(learned: Learned, fold: Fold) -> list[float]:
    test = fold.parts["test"]
    found = scores(learned.predict(test)[0], test.response)
    return [found[name] for name in NAMES]


@pytest.fixture(scope="module")
def data() -> dict[str, Data]:
    return {name: Data(name) for name in SETS}


@pytest.fixture(scope="module")
def fitted(data) -> dict[str, Learned]:
    return {name: data[name].learn("gpcm") for name in ("A", "B")}


def last_ability(data: Data, found: Learned) -> tuple[np.ndarray, np.ndarray]:
    """Ids of the test students, and the ability that each one's last prediction rests on."""
    test = data.split.parts["test"]
    return last_of(np.repeat(test.student, test.lengths), found.predict(test)[1])


def recovered(data: Data, found: Learned) -> dict[str, dict]:
    student, theta = last_ability(data, found)
    rows = recovery_of(Parameters(student, theta, found.alpha, found.beta), data.truth)
    return {row["parameter"]: row for row in rows}


def test_the_data_are_those_of_an_independent_program(data):
    answers = {name: each.whole.response for name, each in data.items()}
    assert {name: len(r) for name, r in answers.items()} == {"A": 24056, "B": 75478, "C": 13563}
    for name, shares in {
        "A": [0.332, 0.209, 0.204, 0.256],
        "B": [0.327, 0.208, 0.200, 0.265],
        "C": [0.415, 0.283, 0.302],
    }.items():
        assert np.bincount(answers[name]) / len(answers[name]) == pytest.approx(shares, abs=6e-4)


@pytest.mark.parametrize(
    ("name", "part", "arm", "expected"),
    [
        ("A", "split", "majority", (0.342, 0, 0.549, 1.362, 1.362)),
        ("A", "split", "item_marginal", (0.446, 0.380, 0.698, 0.994, 1.231)),
        ("A", "split", "bayes", (0.556, 0.668, 0.857, 0.625, 1.002)),
        ("A", "all", "oracle", (0.557, 0.699, 0.875, 0.592, 0.981)),
        ("B", "split", "item_marginal", (0.448, 0.399, 0.710, 0.969, 1.225)),
        ("B", "split", "bayes", (0.561, 0.687, 0.862, 0.609, 0.972)),
        ("C", "all", "bayes", (0.587, 0.524, 0.891, 0.522, 0.861)),
        ("C", "all", "oracle", (0.610, 0.584)),
    ],
)
def test_shares_and_ceilings_score_what_an_independent_program_measured(
    data, name, part, arm, expected
):
    found = scored(data[name].learn(arm), getattr(data[name], part))[: len(expected)]
    # Rounded to three digits, they are the same.
    assert found == pytest.approx(list(expected), abs=6e-4)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("A", (0.553, 0.664, 0.854, 0.633, 1.006)), ("B", (0.559, 0.686, 0.863, 0.609, 0.979))],
)
def test_the_classical_model_scores_what_an_independent_program_measured(
    data, fitted, name, expected
):
    assert fitted[name].converged
    assert scored(fitted[name], data[name].split) == pytest.approx(list(expected), abs=1e-3)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("A", (0.965, 0.93, 0.98, 0.98, 0.97)), ("B", (0.995, 0.93, 0.975, 0.975, 0.975))],
)
def test_parameters_are_recovered_as_well_as_an_independent_program_found(
    data, fitted, name, expected
):
    rows = recovered(data[name], fitted[name])
    assert list(rows) == ["theta", "alpha", "beta_1", "beta_2", "beta_3"]
    found = [row["correlation"] for row in rows.values()]
    assert found == pytest.approx(list(expected), abs=0.006)


def test_errors_after_linking_are_those_of_an_independent_program(data, fitted):
    for name, alpha, beta in [("A", 0.12, 0.19), ("B", 0.12, 0.24)]:
        rows = recovered(data[name], fitted[name])
        pooled = np.sqrt(np.mean([rows[f"beta_{h}"]["rmse"] ** 2 for h in (1, 2, 3)]))
        assert (rows["alpha"]["rmse"], pooled) == pytest.approx((alpha, beta), abs=6e-3)
    assert recovered(data["B"], fitted["B"])["theta"]["slope"] == pytest.approx(0.913, abs=0.015)


def test_without_linking_the_scale_of_b_would_pass_for_error(data, fitted):
    truth, found = data["B"].truth, fitted["B"]
    assert (found.alpha - truth.alpha).mean() == pytest.approx(0.11, abs=6e-3)
    assert (found.beta - truth.beta).mean() == pytest.approx(-0.06, abs=6e-3)
    assert abs(recovered(data["B"], found)["alpha"]["bias"]) < 0.01


def test_no_ability_can_be_traced_better_than_by_the_true_items(data):
    for name, expected in [("A", 0.966), ("B", 0.994)]:
        rows = recovered(data[name], data[name].learn("bayes"))
        assert rows["theta"]["correlation"] == pytest.approx(expected, abs=2e-3)


def test_students_paired_by_place_as_in_the_original_do_not_correlate(data, fitted):
    student, theta = last_ability(data["A"], fitted["A"])
    misplaced = np.corrcoef(theta, data["A"].truth.theta[: len(student)])[0, 1]
    assert misplaced == pytest.approx(-0.11, abs=6e-3)


def test_twice_the_nodes_change_nothing_and_half_of_them_bias_the_thresholds(data, fitted):
    b = data["B"]
    test, found = b.split.parts["test"], fitted["B"]
    assert found.counters["nodes"] == 161
    finer, _ = trace(test, found.alpha, found.beta, b.levels, nodes=321)
    assert np.abs(finer - found.predict(test)[0]).max() < 1e-4
    coarse = fit(of_students(b.whole, 0, b.train), b.levels, nodes=41)
    assert (coarse.beta - b.truth.beta).mean() == pytest.approx(-0.15, abs=6e-3)


def test_the_scale_of_b_is_off_because_600_weak_priors_together_are_strong(data, monkeypatch):
    b = data["B"]
    monkeypatch.setattr("scripts.deep_gpcm.models.irt.marginal.BETA_SD", 1000.0)
    free = b.learn("gpcm")
    assert free.converged
    rows = recovered(b, free)
    assert rows["theta"]["slope"] == pytest.approx(1, abs=0.01)
    assert (free.alpha - b.truth.alpha).mean() == pytest.approx(0, abs=0.01)
