"""The economy solver is used only where it changes nothing, and its failure is said aloud."""

import json

import numpy as np
import pandas as pd
import pytest
import torch

from scripts.tep_bp.gate import cosines, judged, result
from scripts.tep_bp.gradient import biases
from scripts.tep_bp.jobs import trials_job
from scripts.tep_bp.options import Gate, Gradient
from scripts.tep_bp.plans.sampling import trials
from scripts.tep_bp.specs import GateJob, GradientJob
from scripts.tep_bp.unit import solved
from tests.tep_files import read
from tests.tep_nets import ECONOMY, PLAIN, TRAIN, changed, digits, trial
from tests.tep_searches import configuration
from tests.tep_space import SPACE

N = 60
SOLVERS = {"plain": PLAIN, "economy": ECONOMY}
GATE = Gate(
    exact="stacked", economy="economy", margin=0.003, overlap=5, cosine=0.999, networks=2, epochs=1,
    beta=0.2,
)  # fmt: skip
NETWORKS = pd.DataFrame({"economy": [0.9995] * 12, "exact": [0.99] * 12})
SCORES = np.linspace(0.98, 0.50, N)  # trial 0 is the best


def runs(exact: np.ndarray, economy: np.ndarray) -> pd.DataFrame:
    """Run rows of both arms, and of one that the gate does not ask."""
    sides = {"stacked": exact, "economy": economy, "reference": np.zeros(N)}
    tables = [
        pd.DataFrame({"arm": arm, "trial": range(len(score)), "status": "ok"}).assign(
            val_accuracy=score, val_loss=1 - score
        )
        for arm, score in sides.items()
    ]
    return pd.concat(tables, ignore_index=True).sample(frac=1, random_state=0)


def moved(places: slice, by: np.ndarray | float) -> np.ndarray:
    scores = SCORES.copy()
    scores[places] += by
    return scores


def wide() -> np.ndarray:
    """Changes around 0.015 that vary so much that their interval covers 0."""
    return 0.015 + 0.2 * np.linspace(-1, 1, N - 20) * np.tile([1, -1], (N - 20) // 2)


def test_equal_runs_pass():
    found = judged(GATE, runs(SCORES, SCORES), NETWORKS)
    assert (found["solver"], found["passed"], found["reasons"]) == ("economy", True, [])
    assert (found["trials"], found["top"], found["top_overlap"]) == (N, 10, 10)
    assert (found["mean_difference"], found["low"], found["high"]) == (0, 0, 0)
    assert (found["networks"], found["cosine"]) == (12, 0.9995)


def test_small_changes_of_either_sign_pass_and_one_bad_network_is_told():
    change = np.where(np.arange(N) % 2, 0.002, -0.002)
    networks = NETWORKS.copy()
    networks.loc[3] = 0.5, 0.4
    found = judged(GATE, runs(SCORES, SCORES + change), networks)
    assert found["passed"]
    assert found["low"] < 0 < found["high"]
    assert (found["cosine"], found["cosine_worst"], found["cosine_of_exact_worst"]) == (
        0.9995, 0.5, 0.4,
    )  # fmt: skip


# Scores of the economy solver or cosines of its gradients, and the only reason.
FAILURES = {
    "mean": ((moved(slice(20, N), wide()), NETWORKS), "mean change of accuracy +0.0"),
    "interval": ((SCORES + 0.001, NETWORKS), "95 % interval +0.0010 to +0.0010 leaves out 0"),
    "overlap": (
        (np.concatenate([SCORES[10:20], SCORES[:10], SCORES[20:]]), NETWORKS),
        "0 of the best 10 trials agree, 5 needed",
    ),
    "cosine": ((SCORES, NETWORKS - 0.001), "median cosine of gradients 0.99850, 0.999 needed"),
}


@pytest.mark.parametrize("criterion", FAILURES)
def test_each_criterion_refuses_by_itself_and_says_why(criterion):
    (scores, networks), reason = FAILURES[criterion]
    found = judged(GATE, runs(SCORES, scores), networks)
    assert (found["solver"], found["passed"]) == ("plain", False)
    (said,) = found["reasons"]
    assert reason in said


def test_a_trial_that_one_side_lacks_is_no_pair():
    whole = runs(SCORES, SCORES + np.where(np.arange(N) % 2, 0.002, -0.002))
    lost = (whole["arm"] == "economy") & (whole["trial"] == 59)
    failed = whole.copy()
    failed.loc[lost, ["status", "val_accuracy"]] = "failed", np.nan
    for rest in (whole[~lost], failed):
        found = judged(GATE, rest, NETWORKS)
        assert found["passed"]
        assert found["trials"] == N - 1
        assert found["mean_difference"] == pytest.approx(-0.002 / (N - 11))  # 5 cut on each side


def test_a_trial_that_collapses_does_not_decide():
    change = np.where(np.arange(N) % 2, 0.002, -0.002)
    change[40] = -0.45
    found = judged(GATE, runs(SCORES, SCORES + change), NETWORKS)
    assert found["passed"]
    change[31:45] = -0.45
    assert not judged(GATE, runs(SCORES, SCORES + change), NETWORKS)["passed"]


@pytest.mark.parametrize("left", [0, 1])
def test_too_few_pairs_or_networks_prove_nothing(left):
    whole = runs(SCORES, SCORES)
    few = whole[(whole["arm"] != "economy") | (whole["trial"] < left)]
    assert judged(GATE, few, NETWORKS)["solver"] == "plain"
    assert judged(GATE, whole, NETWORKS[:0])["reasons"] == [
        "median cosine of gradients nan, 0.999 needed"
    ]


def test_the_verdict_is_that_of_trained_networks_of_weak_nudges():
    train = changed(TRAIN, epochs=1, watch=False)
    spec = GateJob(gate=GATE, plain=PLAIN, economy=ECONOMY, train=train)
    plan = trials(changed(SPACE, hidden=[16]), "sobol", 12, 7)
    task, both = read({"kind": "digits"}, 0), runs(SCORES, SCORES)
    found = result(spec, both, plan, task)
    assert found["networks"] == 2
    assert 0.99 < found["cosine_worst"] <= found["cosine"] <= 1
    weak = plan[plan["beta"] <= 0.2]
    assert len(weak) < len(plan)
    assert result(spec, both, weak, task) == found
    assert result(spec, both, plan[plan["beta"] > 0.2], task)["networks"] == 0


def test_the_solver_is_the_one_that_the_gate_names(tmp_path):
    gate = tmp_path / "gate.json"
    gated = trials_job(configuration(arms={"gated": {"solver": "gated"}}), 42, "gated", "tep")
    assert gated.solvers == SOLVERS
    for name, solver in SOLVERS.items():
        gate.write_text(json.dumps({"solver": name, "passed": name == "economy"}))
        expected = changed(gated, solver=name, solvers={name: solver})
        assert solved(gated, [gate]) == expected
        assert solved(expected, []) == expected
        assert expected.iterations == solver
    none = trials_job(configuration(), 42, "gated", "bp")
    assert solved(none, []) == none
    assert none.iterations is None


def test_gradients_of_identical_solvers_are_parallel_and_of_a_short_one_are_not():
    one, data = trial(hidden=16, activation="relu"), digits(torch.float32)
    same, settled = cosines(data, one, TRAIN, PLAIN, PLAIN)
    assert same == pytest.approx(1, abs=1e-6)
    near, again = cosines(data, one, TRAIN, PLAIN, ECONOMY)
    assert 0.99 < near < 1 - 1e-6
    assert again == settled
    short, _ = cosines(data, one, TRAIN, PLAIN, changed(PLAIN, free=1, nudged=1))
    assert short < near - 0.01


def test_the_error_falls_a_hundredfold_a_decade_centred_and_tenfold_one_sided():
    shown = Gradient(
        hidden=16, batch=64, lr=3e-3, activation="tanh", beta=0.2, epochs=2, steps=400,
        betas=[0.1, 0.01, 1e-3],
    )  # fmt: skip
    spec = GradientJob(gradient=shown, train=TRAIN, solver=PLAIN, seed=11)
    found = pd.DataFrame(biases(digits(torch.float32), spec))
    assert found["difference"].value_counts().to_dict() == {"one_sided": 3, "centred": 3}
    for difference, order in (("centred", 2), ("one_sided", 1)):
        rows = found[found["difference"] == difference]
        assert rows["beta"].tolist() == [0.1, 0.01, 1e-3]
        steps = (rows["error"] / rows["error"].shift(-1)).dropna()
        assert steps.tolist() == pytest.approx([10**order] * 2, rel=0.1)
        assert (rows["cosine"] > 0.99).all()
    at = found.set_index(["difference", "beta"])["error"]
    assert at["centred", 0.01] <= 2e-4
    assert at["one_sided", 0.01] <= 2e-2


def test_a_gate_that_fails_leaves_the_plain_solver_to_every_row_and_cries_out(finished_tep):
    page = finished_tep.folder / "results/report.html"
    before, text = pd.DataFrame(finished_tep.rows()), page.read_text()
    config = finished_tep.overlay(gate="{networks: 1, epochs: 1, cosine: 1.0}")
    finished_tep.make(config=config)
    gate = json.loads((finished_tep.results / "gate.json").read_text())
    assert (gate["passed"], gate["solver"]) == (False, "plain")
    (reason,) = gate["reasons"]
    assert reason.startswith("median cosine of gradients 0.999")
    found = pd.DataFrame(finished_tep.rows())
    own = (found["arm"] == configuration().result) & (found["rule"] == "tep")
    assert set(before.loc[own, "solver"]) == {"economy"}
    assert set(found.loc[own, "solver"]) == {"plain"}
    assert not set(found.loc[own, "parameter_hash"]) & set(before.loc[own, "parameter_hash"])
    pd.testing.assert_frame_equal(found[~own], before[~own])
    assert "GATE FAILED" not in text
    assert "GATE FAILED" in page.read_text()
    assert f"falls back to the <code>plain</code> solver ({reason})" in page.read_text()
