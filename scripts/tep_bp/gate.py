"""Decide whether the economy solver may stand in for the exact one: gate.json.

It may if, over paired trials, the mean change of the validation accuracy is within `margin` and its
95 % interval covers 0, enough of the best trials stay the best, and gradients on trained networks
point the same way. Else `solver` is the exact one, and `reasons` say why
(docs/studies/tep_bp.md, Gate of the economy solver).

Departs: a tenth of the trials on each side does not enter the mean, and the median network's
gradient decides. A few trials (relu, large steps) amplify rounding: the exact solver in float32 and
in float64 differs by 0.5 points in the plain mean over 60 trials, more than the margin.
"""

import json
from pathlib import Path

import pandas as pd
import torch

from scripts.lib.files import replacing
from scripts.lib.stage import stage
from scripts.lib.stats import trimmed_interval
from scripts.lib.timing import Phases
from scripts.tep_bp.data.store import Task, read_task
from scripts.tep_bp.models.interface import Data, data_of
from scripts.tep_bp.models.stacked.dynamics import Activation
from scripts.tep_bp.models.stacked.gradients import tep
from scripts.tep_bp.models.stacked.parameters import Parameters
from scripts.tep_bp.models.stacked.stacked import batch, training
from scripts.tep_bp.options import Gate, Solver, Training
from scripts.tep_bp.plans.ranking import SCORE, top
from scripts.tep_bp.plans.sampling import as_trials
from scripts.tep_bp.plans.space import Trial
from scripts.tep_bp.specs import GateJob, Row

BEST = 10  # trials whose overlap is counted
SAMPLES = 256  # of the training samples, whose gradients are compared
CONVERGED = 200  # iterations after which no state changes any more


@torch.inference_mode()
def cosines(
    data: Data, trial: Trial, train: Training, plain: Solver, economy: Solver
) -> tuple[float, float]:
    """Cosines of gradients: of the economy and the plain solver, of the plain and a converged one.

    Each is the smaller of W_x's and W's. The network is that of `trial` after training by the
    solver `plain`; the gradients are those of the first training samples.
    """
    *_, (parameters, activation) = training(data, [trial], train, plain, Phases())

    def cosine(a: Solver, b: Solver) -> float:
        sides = [gradient(data, trial, parameters, activation, solver).views for solver in (a, b)]
        names = ("W_x", "W")
        pairs = [[side[name].flatten() for side in sides] for name in names]
        return min(torch.cosine_similarity(*pair, dim=0).item() for pair in pairs)

    converged = plain.model_copy(update={"free": CONVERGED, "nudged": CONVERGED})
    return cosine(economy, plain), cosine(plain, converged)


def gradient(
    data: Data, trial: Trial, parameters: Parameters, activation: Activation, solver: Solver
) -> Parameters:
    """The trial's gradient on the first samples, in the layout of its parameters."""
    estimate = parameters.like()
    x, y = batch(data, torch.arange(min(SAMPLES, len(data.x)))[None])
    beta = torch.full((1, 1, 1), trial.beta, dtype=data.dtype)
    tep(x, y, parameters, activation, beta, solver, estimate, Phases())
    return estimate


def judged(gate: Gate, runs: pd.DataFrame, networks: pd.DataFrame) -> Row:
    """The verdict.

    `networks` has the columns economy (cosine of the solvers' gradients) and exact (that of the
    exact solver's gradient and the fixed point's). The median network decides: on a few, the exact
    solver's 20 and 10 iterations are themselves far from the fixed point.
    """
    sides = {arm: runs[runs["arm"] == arm] for arm in (gate.exact, gate.economy)}
    exact, economy = (side.set_index("trial")[SCORE] for side in sides.values())
    change = trimmed_interval((economy - exact).dropna().to_numpy(float))
    best = [set(top(side, BEST)["trial"]) for side in sides.values()]
    overlap, least = len(best[0] & best[1]), min(gate.overlap, len(best[0]))
    middle, lowest = networks["economy"].median(), networks.min()
    failures = {
        f"mean change of accuracy {change.value:+.4f}, allowed is {gate.margin}": not (
            abs(change.value) <= gate.margin
        ),
        f"95 % interval {change.low:+.4f} to {change.high:+.4f} leaves out 0": not (
            change.low <= 0 <= change.high
        ),
        f"{overlap} of the best {len(best[0])} trials agree, {least} needed": overlap < least,
        f"median cosine of gradients {middle:.5f}, {gate.cosine} needed": not (
            middle >= gate.cosine
        ),
    }
    reasons = [reason for reason, failed in failures.items() if failed]
    verdict = {"solver": "plain" if reasons else "economy", "passed": not reasons}
    verdict |= {"reasons": reasons, "trials": change.n, "mean_difference": change.value}
    verdict |= {"low": change.low, "high": change.high, "top_overlap": overlap}
    verdict |= {"top": len(best[0]), "networks": len(networks), "cosine": middle}
    return verdict | {"cosine_worst": lowest["economy"], "cosine_of_exact_worst": lowest["exact"]}


def result(job: GateJob, runs: pd.DataFrame, plan: pd.DataFrame, task: Task) -> Row:
    """The verdict, on the first `networks` trials of beta at most `beta`, trained `epochs`."""
    weak = plan[plan["beta"] <= job.gate.beta].head(job.gate.networks)
    data = data_of(task, ["train"], "val")
    pairs = [
        cosines(data, trial, job.train, job.plain, job.economy) for trial in as_trials(weak, "tep")
    ]
    networks = pd.DataFrame(pairs, columns=["economy", "exact"], dtype=float)
    return judged(job.gate, runs, networks)


def main(spec: GateJob, runs: list[Path], plan: Path, task: Path, gate: Path) -> None:
    both = pd.concat([pd.read_parquet(path) for path in runs])
    verdict = result(spec, both, pd.read_parquet(plan), read_task(task))
    with replacing(gate) as temporary:
        temporary.write_text(json.dumps(verdict, indent=1), encoding="utf-8")


if __name__ == "__main__":
    stage(main)
