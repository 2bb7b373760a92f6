"""One fold by one arm: train, predict the test students, give its row and tables."""

import math
from typing import Any, NamedTuple

import numpy as np
import torch

from scripts.deep_gpcm.data.fold import Fold
from scripts.deep_gpcm.data.store import estimated, predicted
from scripts.deep_gpcm.metrics import scores
from scripts.deep_gpcm.models.batches import Resident
from scripts.deep_gpcm.models.choices import evaluation, trainer_of
from scripts.deep_gpcm.models.fit import Fit
from scripts.deep_gpcm.models.loss import predict
from scripts.deep_gpcm.models.network import Network, threshold
from scripts.deep_gpcm.specs import AXES, GpcmJob
from scripts.lib.run_rows import run_row
from scripts.lib.training_job import unit_key, unit_seed

Columns = dict[str, Any]
# At which losses are compared: before rounding has grown, and of all arms those of the same steps,
# though some train for fewer epochs.
EARLY_STEPS, EARLY_EPOCHS = 20, 10


class Unit(NamedTuple):
    """Run row, and columns of the tables, of one fold by one arm."""

    row: Columns
    histories: Columns
    losses: Columns
    predictions: Columns
    estimates: Columns


def row_of(job: GpcmJob, unit: list, fold: Fold, fitted: Fit) -> Columns:
    """Run row without the test metrics. `early_losses` has the losses before the first steps."""
    seed, status = unit_seed(job, unit), "diverged" if fitted.diverged else "ok"
    row = run_row(job, AXES, unit, seed, status, **fitted.cost)
    row |= {"best_epoch": fitted.best_epoch}
    row |= {"n_epochs": len(fitted.history), "n_steps": len(fitted.losses)}
    row |= {"n_answers": fitted.n_answers, "n_test": len(fold.parts["test"].question)}
    row |= {"n_parameters": sum(p.numel() for p in fitted.net.parameters())}
    early = min(EARLY_STEPS, EARLY_EPOCHS * len(fitted.losses) // max(len(fitted.history), 1))
    return row | {"early_losses": fitted.losses[:early]}


def item_parameters(
    net: Network, fold: Fold, alpha: np.ndarray, zero_id: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Slope (Q,), NaN where no test student met the item, and thresholds (Q, K - 1).

    In this model the slope depends on the student too: an item's is the mean over test answers.
    """
    question = fold.parts["test"].question
    counts, sums = (np.bincount(question, w, fold.questions + 1)[1:] for w in (None, alpha))
    slope = np.divide(sums, counts, out=np.full(len(sums), math.nan), where=counts > 0)
    with torch.no_grad():
        beta = threshold(net, net.question_key).double().cpu().numpy()
    beta = beta[:-1] if zero_id else beta[1:]
    beta[np.arange(1, beta.shape[1] + 1) >= fold.levels[:, None]] = math.nan
    return slope, beta


def train_units(job: GpcmJob, folds: list[Fold], units: list[list]) -> list[Columns]:
    """Train on some folds and predict their test students (`result_of`)."""
    fits = trainer_of(job.trainer)(folds, job, [unit_key(job, unit) for unit in units])
    return [result_of(job, *each) for each in zip(folds, units, fits, strict=True)]


def result_of(job: GpcmJob, fold: Fold, unit: list, fitted: Fit) -> Columns:
    """What a trained network says of a fold's test students; a JSON object.

    `row` without metrics if the training diverged; `history`: (loss, val_nll, val_qwk, lr) of each
    epoch; `losses` before each step; `probability` (n, K) and `theta` (n,) of each test answer;
    `alpha` (Q,) and `beta` (Q, K - 1) of each question.
    """
    row, test, train = row_of(job, unit, fold, fitted), fold.parts["test"], job.train
    forward = evaluation(job.evaluation, job.memory, job.inference)
    answered = train.model_copy(update={"padding": "none"})
    scored = of_answers = predict(fitted.net, forward, Resident(test), answered)
    if train.padding != "none":
        scored = predict(fitted.net, forward, Resident(test), train)
    if not fitted.diverged:
        row |= scores(scored[0].exp().numpy(), scored[1].numpy())
    log_p, _, heads = of_answers
    theta, slope = (x.double().numpy() for x in (heads.theta, heads.alpha))
    alpha, beta = item_parameters(fitted.net, fold, slope, train.zero_id)
    return {
        "row": row,
        "history": fitted.history,
        "losses": fitted.losses,
        "probability": log_p.exp().tolist(),
        "theta": theta.tolist(),
        "alpha": alpha.tolist(),
        "beta": beta.tolist(),
    }


def unit_tables(job: GpcmJob, fold: Fold, unit: list, result: Columns) -> Unit:
    """Row and tables of a unit's result (`result_of`)."""
    labels = {"arm": job.arm, **dict(zip(AXES, unit, strict=True))}
    columns = zip(*result["history"], strict=True)
    epochs = dict(zip(("loss", "val_nll", "val_qwk", "lr"), columns, strict=True))
    steps = range(1, len(result["losses"]) + 1)
    probability, theta, alpha, beta = (
        np.array(result[name]) for name in ("probability", "theta", "alpha", "beta")
    )
    return Unit(
        row=result["row"],
        histories=repeated(labels, {"epoch": range(1, len(result["history"]) + 1), **epochs}),
        losses=repeated(labels, {"step": steps, "loss": result["losses"]}),
        predictions=predicted(labels, fold.parts["test"], probability, theta),
        estimates=estimated(labels, alpha, beta),
    )


def repeated(labels: Columns, columns: Columns) -> Columns:
    """Columns of a table with the unit's labels in each row."""
    columns = {name: list(values) for name, values in columns.items()}
    n = len(next(iter(columns.values())))
    return {name: [value] * n for name, value in labels.items()} | columns
