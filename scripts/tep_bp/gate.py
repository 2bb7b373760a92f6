"""Decide whether the economy solver may stand in for the exact one: gate.json.

It may if it is shown to change nothing that matters: over paired trials the change of the late
accuracy is inside `margin`, and on trained networks what it adds to a gradient is less than `share`
of what the choice of a batch adds. Each is shown, refuted or undecided by an interval, and the same
must be shown again from initial weights rounded otherwise; else `solver` is the exact one, and
`reasons` say why (docs/studies/tep_bp.md, Gate of the economy solver).

Departs: a tenth of the trials on each side does not enter the mean, as a few (relu, large steps)
amplify rounding.
"""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from scripts.lib.accuracy import median_bounds
from scripts.lib.files import replacing
from scripts.lib.stage import stage
from scripts.lib.stats import all_of, below, passes, trimmed_interval
from scripts.tep_bp.data.store import Task, read_task
from scripts.tep_bp.models.fused.learner import Learner
from scripts.tep_bp.models.interface import Data, batch_orders, data_of
from scripts.tep_bp.options import Gate, Solver, Training
from scripts.tep_bp.plans.ranking import top
from scripts.tep_bp.plans.sampling import as_trials
from scripts.tep_bp.plans.space import Trial
from scripts.tep_bp.specs import GateJob, Row

LATE = "late_accuracy"
BEST = 10  # trials whose overlap is told
SAMPLES = 256  # of the training samples, whose gradients by both solvers are compared
BATCHES = 8  # whose gradients are compared with each other
CONVERGED = 200  # iterations after which no state changes any more
NETWORKS = ["share", "cosine", "exact"]
OUTCOMES = {True: "passed", False: "failed", None: "undecided"}


def network(
    data: Data, trial: Trial, train: Training, plain: Solver, economy: Solver
) -> tuple[float, float, float]:
    """What the economy solver does to the gradient of a trained network, and for scale.

    The trial is trained by the solver `plain`. `share`: relative error that the economy solver adds
    to the gradient, over that which the draw of a batch adds; `cosine` of the two solvers'
    gradients; `exact`: that of the plain solver's gradient and the fixed point's. Of W_x and W the
    worse counts. Random: as in the training, and the batches that follow it.
    """
    learner, orders = Learner(data, trial, train, plain), batch_orders(trial)
    for _ in range(train.epochs):
        for rows in torch.randperm(len(data.x), generator=orders).split(trial.batch):
            samples = learner.gather(data.x.numpy(), data.y.numpy(), rows.numpy())
            learner.settle(samples)
            learner.teach(samples)
            learner.update(samples, len(rows))
    first = torch.arange(min(SAMPLES, len(data.x)))
    converged = plain.model_copy(update={"free": CONVERGED, "nudged": CONVERGED})
    by = {s: gradient(learner, data, first, s) for s in (plain, economy, converged)}
    size = min(trial.batch, len(data.x))
    batches = [torch.randperm(len(data.x), generator=orders)[:size] for _ in range(BATCHES)]
    drawn = [gradient(learner, data, rows, plain) for rows in batches]
    apart = error(by[plain], by[economy])
    noise = np.mean([error(*pair) for pair in zip(drawn[::2], drawn[1::2], strict=True)], axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):  # a batch of all samples has no noise
        share = float(np.sqrt(apart / noise).max())
    return share, 1 - float(apart.max()), 1 - float(error(by[plain], by[converged]).max())


def gradient(
    learner: Learner, data: Data, rows: torch.Tensor, solver: Solver
) -> dict[str, torch.Tensor]:
    """The network's gradient on these samples by a solver; the network stays as it is."""
    kept, own = learner.flat.copy(), learner.solver
    learner.solver = learner.iterations(solver)
    samples = learner.gather(data.x.numpy(), data.y.numpy(), rows.numpy())
    learner.settle(samples)
    learner.teach(samples)
    learner.update(samples, len(rows))
    learner.flat[:], learner.solver = kept, own
    return learner.parameters(learner.gradient)


def error(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> np.ndarray:
    """1 less the cosine, of W_x and of W; half the squared angle where it is small."""
    names = ("W_x", "W")
    pairs = [[side[name].flatten().double() for side in (a, b)] for name in names]
    return np.array([max(0.0, 1 - torch.cosine_similarity(*pair, dim=0).item()) for pair in pairs])


def judged(gate: Gate, exact: pd.DataFrame, economy: pd.DataFrame, networks: pd.DataFrame) -> Row:
    """What the rows of two arms, and `networks` (columns of NETWORKS), say: a row of the table.

    `outcome`: passed, failed or undecided. The median network decides, by bounds of 95 % each that
    hold for any distribution; of the accuracy the 90 % interval of the trimmed mean.
    """
    scores = [side.set_index("trial")[LATE] for side in (exact, economy)]
    change = trimmed_interval((scores[1] - scores[0]).dropna().to_numpy(float), confidence=0.9)
    accuracy = passes(change.low, change.high, -gate.margin, gate.margin)
    shares = networks["share"].to_numpy(float)
    low, high = median_bounds(shares)
    gradients = below(low, high, gate.share)
    reasons = {
        f"change of late accuracy {change.low:+.4f} to {change.high:+.4f}, allowed {gate.margin}": (
            accuracy
        ),
        f"median share of gradients {low:.3f} to {high:.3f}, allowed {gate.share}": gradients,
    }
    best = [set(top(side, BEST)["trial"]) for side in (exact, economy)]
    row = {"outcome": OUTCOMES[all_of(accuracy, gradients)]}
    row |= {"reasons": [f"{OUTCOMES[p]}: {why}" for why, p in reasons.items() if not p]}
    row |= {"trials": change.n, "mean_difference": change.value}
    row |= {"low": change.low, "high": change.high, "networks": len(networks)}
    row |= {"share": float(np.median(shares)) if len(shares) else np.nan}
    row |= {"share_low": low, "share_high": high, "top": len(best[0])}
    row |= {"cosine": networks["cosine"].median(), "cosine_worst": networks["cosine"].min()}
    row |= {"cosine_of_exact_worst": networks["exact"].min()}
    return row | {"top_overlap": len(best[0] & best[1])}


def concluded(rows: list[Row]) -> Row:
    """The verdict of all roundings: the economy solver where each of them shows that it may."""
    outcomes = {text: passed for passed, text in OUTCOMES.items()}
    passed = all_of(*(outcomes[row["outcome"]] for row in rows))
    reasons = list(dict.fromkeys(reason for row in rows for reason in row["reasons"]))
    verdict = {"solver": "economy" if passed else "plain", "outcome": OUTCOMES[passed]}
    verdict |= {"passed": passed is True, "reasons": reasons}
    # Conclusions survive re-rounding where every rounding has the same.
    survives = len({row["outcome"] for row in rows}) == 1 if len(rows) > 1 else None
    return verdict | {"survives": survives, "roundings": rows}


def result(job: GateJob, runs: pd.DataFrame, plan: pd.DataFrame, task: Task) -> Row:
    """The verdict, on the first `networks` trials of beta at most `beta`, trained `epochs`."""
    weak = plan[plan["beta"] <= job.gate.beta].head(job.gate.networks)
    data, rows = data_of(task, ["train"], "val"), []
    for compared in job.compared:
        sides = [runs[runs["arm"] == arm] for arm in (compared.exact, compared.economy)]
        found = [
            network(data, trial, compared.train, job.plain, job.economy)
            for trial in as_trials(weak, "tep")
        ]
        rows.append(judged(job.gate, *sides, pd.DataFrame(found, columns=NETWORKS, dtype=float)))
    return concluded(rows)


def main(spec: GateJob, runs: list[Path], plan: Path, task: Path, gate: Path) -> None:
    found = pd.concat([pd.read_parquet(path) for path in runs])
    verdict = result(spec, found, pd.read_parquet(plan), read_task(task))
    with replacing(gate) as temporary:
        temporary.write_text(json.dumps(verdict, indent=1), encoding="utf-8")


if __name__ == "__main__":
    stage(main)
