"""The economy solver is used only where it is shown to change nothing; else that is said aloud."""

import json

import numpy as np
import pandas as pd
import pytest
import torch

from scripts.tep_bp.gate import NETWORKS, concluded, judged, network, result
from scripts.tep_bp.gradient import biases
from scripts.tep_bp.jobs import gate_job, trials_job
from scripts.tep_bp.options import Gate, Gradient
from scripts.tep_bp.plans.sampling import trials
from scripts.tep_bp.specs import Compared, GateJob, GradientJob
from scripts.tep_bp.unit import solved
from tests.tep_files import read
from tests.tep_nets import ECONOMY, PLAIN, TRAIN, changed, digits, trial
from tests.tep_searches import configuration
from tests.tep_space import SPACE

N = 40
PAIRS = [("fused", "economy"), ("fused_again", "economy_again")]
SOLVERS = {"plain": PLAIN, "economy": ECONOMY}
GATE = Gate(
    exact="fused", economy="economy", margin=0.005, share=0.1, networks=2, epochs=1, beta=0.2
)
SHARES = np.geomspace(0.01, 0.08, 12)
SCORES = np.linspace(0.98, 0.50, N)  # trial 0 is the best
NOISE = np.where(np.arange(N) % 2, 0.002, -0.002)


def networks(shares: np.ndarray = SHARES) -> pd.DataFrame:
    return pd.DataFrame({"share": shares, "cosine": 0.9995, "exact": 0.99}, columns=NETWORKS)


def side(arm: str, scores: np.ndarray) -> pd.DataFrame:
    """Run rows of an arm."""
    table = pd.DataFrame({"arm": arm, "trial": range(N), "status": "ok"})
    table = table.assign(late_accuracy=scores, val_accuracy=scores, val_loss=1 - scores)
    return table.sample(frac=1, random_state=0)


def found(change: np.ndarray | float, shares: np.ndarray = SHARES) -> dict:
    return judged(GATE, side("fused", SCORES), side("economy", SCORES + change), networks(shares))


def test_equal_runs_and_small_changes_of_either_sign_pass():
    same, noisy = found(0.0), found(NOISE)
    assert (same["outcome"], same["reasons"], same["trials"]) == ("passed", [], N)
    assert (same["mean_difference"], same["low"], same["high"]) == (0, 0, 0)
    assert (same["networks"], same["cosine"], same["top_overlap"]) == (12, 0.9995, 10)
    assert noisy["outcome"] == "passed"
    assert -0.005 < noisy["low"] < 0 < noisy["high"] < 0.005


# What is found of the accuracies and of the gradients, its outcome and the only reason.
OUTCOMES = {
    "accuracy beyond": ((-0.02, SHARES), "failed", "failed: change of late accuracy -0.0200 to"),
    "accuracy on the edge": (
        (0.005 + 4 * NOISE, SHARES), "undecided", "undecided: change of late accuracy",
    ),
    "gradients beyond": (
        (0.0, 20 * SHARES), "failed", "failed: median share of gradients 0.2",
    ),
    "gradients on the edge": (
        (0.0, 3 * SHARES), "undecided", "undecided: median share of gradients 0.0",
    ),
    "few networks": (
        (0.0, SHARES[:4]), "undecided", "undecided: median share of gradients -inf to inf",
    ),
    "no networks": (
        (0.0, SHARES[:0]), "undecided", "undecided: median share of gradients -inf to inf",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", OUTCOMES)
def test_each_criterion_refuses_by_itself_and_says_why(case):
    told, outcome, reason = OUTCOMES[case]
    row = found(*told)
    assert row["outcome"] == outcome
    (said,) = row["reasons"]
    assert said.startswith(reason)


def test_more_trials_decide_what_fewer_left_undecided():
    few = slice(0, 6)
    part = judged(
        GATE, side("fused", SCORES).sort_values("trial")[few],
        side("economy", SCORES + 6 * NOISE).sort_values("trial")[few], networks(),
    )  # fmt: skip
    assert part["outcome"] == "undecided"
    assert found(6 * NOISE)["outcome"] == "passed"


def test_one_failure_outweighs_what_is_undecided():
    assert found(-0.02, SHARES[:4])["outcome"] == "failed"


def test_the_solver_is_used_where_every_rounding_passes():
    passed, failed, undecided = found(0.0), found(-0.02), found(0.0, SHARES[:4])
    for rows, solver, outcome, survives in (
        ([passed, passed], "economy", "passed", True),
        ([passed], "economy", "passed", None),
        ([passed, undecided], "plain", "undecided", False),
        ([undecided, failed], "plain", "failed", False),
        ([failed, failed], "plain", "failed", True),
    ):
        verdict = concluded(rows)
        assert (verdict["solver"], verdict["outcome"]) == (solver, outcome)
        assert verdict["survives"] is survives
        assert verdict["passed"] == (solver == "economy")
        assert bool(verdict["reasons"]) != verdict["passed"]
        assert verdict["roundings"] == rows


def test_a_trial_that_one_side_lacks_is_no_pair():
    exact, economy = side("fused", SCORES), side("economy", SCORES + NOISE)
    lost = economy["trial"] == N - 1
    failed = economy.assign(status=np.where(lost, "failed", "ok"))
    failed.loc[lost, ["late_accuracy", "val_accuracy"]] = np.nan
    for rest in (economy[~lost], failed):
        row = judged(GATE, exact, rest, networks())
        assert (row["outcome"], row["trials"]) == ("passed", N - 1)


def test_a_trial_that_collapses_does_not_decide():
    change = NOISE.copy()
    change[30] = -0.45
    assert found(change)["outcome"] == "passed"
    change[21:35] = -0.45
    assert found(change)["outcome"] == "failed"


def test_the_gate_compares_networks_of_every_rounding():
    job = gate_job(configuration(gate={"again": ["fused_again", "economy_again"]}))
    told = [(c.exact, c.economy, c.train.rerounded) for c in job.compared]
    assert told == [("fused", "economy", 0), ("fused_again", "economy_again", 1)]
    assert {(c.train.epochs, c.train.watch) for c in job.compared} == {(1, False)}
    assert len(gate_job(configuration(gate={"again": []})).compared) == 1


def test_the_verdict_is_that_of_trained_networks_of_weak_nudges():
    train = changed(TRAIN, epochs=1, watch=False)
    compared = [Compared(exact="fused", economy="economy", train=train)]
    spec = GateJob(gate=GATE, plain=PLAIN, economy=ECONOMY, compared=compared)
    plan = trials(changed(SPACE, hidden=[16]), "sobol", 12, 7)
    task = read({"kind": "digits"}, 0)
    both = pd.concat([side("fused", SCORES), side("economy", SCORES), side("other", SCORES - 1)])
    verdict = result(spec, both, plan, task)
    (row,) = verdict["roundings"]
    assert (row["networks"], row["trials"], row["mean_difference"]) == (2, N, 0)
    assert 0.99 < row["cosine_worst"] <= row["cosine"] <= 1
    weak = plan[plan["beta"] <= 0.2]
    assert len(weak) < len(plan)
    assert result(spec, both, weak, task) == verdict
    strong = result(spec, both, plan[plan["beta"] > 0.2], task)
    assert (strong["solver"], strong["roundings"][0]["networks"]) == ("plain", 0)


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


def test_gradients_of_identical_solvers_are_the_same_and_of_a_short_one_are_not():
    one, data = trial(hidden=16, activation="relu"), digits(torch.float32)
    same = network(data, one, TRAIN, PLAIN, PLAIN)
    assert same[0] == pytest.approx(0, abs=1e-6)
    assert same[1] == pytest.approx(1, abs=1e-9)
    near = network(data, one, TRAIN, PLAIN, ECONOMY)
    assert 1e-4 < near[0] < 0.1
    assert 0.99 < near[1] < 1 - 1e-6
    assert near[2] == same[2]
    short = network(data, one, TRAIN, PLAIN, changed(PLAIN, free=1, nudged=1))
    assert short[0] > 5 * near[0]
    assert short[1] < near[1] - 0.01


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


def test_an_undecided_gate_leaves_the_plain_solver_and_cries_out_and_one_that_passes_does_not(
    finished_tep,
):
    page = finished_tep.folder / "results/report.html"
    before, text = pd.DataFrame(finished_tep.rows()), page.read_text()
    gate = json.loads((finished_tep.results / "gate.json").read_text())
    assert (gate["outcome"], gate["solver"]) == ("undecided", "plain")  # of two networks
    assert "GATE UNDECIDED" in text
    assert "falls back to the plain solver (undecided: " in text
    arms = {name: "{run: {trials: 8}}" for pair in PAIRS for name in pair}
    config = finished_tep.overlay(
        search="{trials: 16, block: 16}",
        gate="{networks: 8, epochs: 1, beta: 1.0, margin: 1.0, share: 100.0}",
        arms="{" + ", ".join(f"{name}: {run}" for name, run in arms.items()) + "}",
    )
    finished_tep.make(config=config)
    gate = json.loads((finished_tep.results / "gate.json").read_text())
    assert (gate["outcome"], gate["solver"], len(gate["roundings"])) == ("passed", "economy", 2)
    found = pd.DataFrame(finished_tep.rows())
    for rows, solver in ((before, "plain"), (found, "economy")):
        own = (rows["arm"] == configuration().result) & (rows["rule"] == "tep")
        assert set(rows.loc[own, "solver"]) == {solver}
    assert "falls back" not in page.read_text()
