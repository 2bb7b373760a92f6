"""Train stacked trials by the rule of the original project, its faults behind switches."""

from hashlib import sha256

import torch
from torch.nn.functional import one_hot

from scripts.lib.timing import Phases
from scripts.tep_bp.models.interface import Data, Fit, batch_orders, numbers, watched
from scripts.tep_bp.models.legacy.transformer_block import (
    Sizes,
    drive,
    flattened,
    initial_block,
    logits,
    loop,
    n_parameters,
    score_flops,
    step_flops,
    viewed,
)
from scripts.tep_bp.models.legacy.two_phases import Step, free
from scripts.tep_bp.models.stacked.optimiser import Adam
from scripts.tep_bp.models.stacked.parameters import padded
from scripts.tep_bp.options import Faults, Training
from scripts.tep_bp.plans.space import Trial


def fit_legacy(data: Data, trials: list[Trial], train: Training, switches: Faults) -> list[Fit]:
    """Fits of trials of equal width and batch size, stacked; no trial's numbers depend on another.

    `train` has epochs, betas, adam_eps and watch (score after every epoch, not only the last);
    `switches` has difference, nudge, stop, free_steps, nudged_steps, damping and tol. `audit` has
    free_iterations and nudged_iterations, means over training solves. Trials' weight_decay and
    activation are not read, as in the original. Random: initial values, and a permutation per
    epoch, by the trial's own streams. Raises ValueError at trials that cannot be stacked. Source
    and repairs: docs/studies/tep_bp.md, The original's block.

    Departs: scores are those of held samples at every epoch, never their maximum; a trial that
    diverges goes on to the last epoch.
    """
    if len({(trial.hidden, trial.batch) for trial in trials}) != 1:
        raise ValueError("Trials to stack differ in width or batch size; use equal ones.")
    clock = Phases()
    stack = _Stack(data, trials, train, switches)
    orders = [batch_orders(trial) for trial in trials]
    scores, finite = [], []
    clock.lap("data")
    for epoch in range(1, train.epochs + 1):
        rows = torch.stack([torch.randperm(len(data.x), generator=rng) for rng in orders])
        for batch in rows.split(trials[0].batch, 1):
            stack.train(batch, clock)
        finite.append(stack.flat.isfinite().all(1))
        clock.lap("update")
        if train.watch or epoch == train.epochs:
            scores.append(stack.score())
            clock.lap("evaluate")
    return stack.fits(scores, finite, clock)


class _Stack:
    """T trials in training: parameters `flat` [T, P], and the work done so far."""

    def __init__(self, data: Data, trials: list[Trial], train: Training, switches: Faults):
        self.data, self.switches = data, switches
        blocks = [initial_block(trial, data.x.shape[1], data.classes) for trial in trials]
        self.sizes = Sizes(data.x.shape[1], trials[0].hidden, data.classes)
        self.flat = torch.stack([flattened(block) for block in blocks]).to(data.dtype)
        self.block = viewed(self.flat, blocks[0])
        self.beta = torch.tensor([trial.beta for trial in trials], dtype=data.dtype).view(-1, 1, 1)
        self.adam = Adam(self.flat, trials, train)
        self.hot = one_hot(data.y, padded(data.classes)).to(data.dtype)
        zero = torch.zeros(len(trials), dtype=torch.float64)
        self.flops, self.free_count, self.nudged_count = zero, zero.clone(), zero.clone()

    def train(self, rows: torch.Tensor, clock: Phases) -> None:
        """One step on rows [T, B] of the training samples."""
        x, hot = numbers(self.data.x[rows]), self.hot[rows]
        clock.lap("data")
        step = Step(self.block, x, hot, self.beta, self.switches)
        step.free()
        clock.lap("free")
        step.nudged()
        clock.lap("nudged")
        self.adam.step(torch.cat([part.flatten(1) for part in step.gradient()], 1))
        self.free_count += step.free_count
        self.nudged_count += step.nudged_count
        self.flops += rows.shape[1] * step_flops(self.sizes, step.free_count, step.nudged_count)
        clock.lap("update")

    @torch.no_grad()
    def score(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Class and cross-entropy [T, M] of the held samples; no class that does not exist."""
        x = numbers(self.data.held_x).expand(len(self.flat), -1, -1)
        h, count = free(loop(self.block), drive(self.block, x), self.switches)
        self.flops += len(self.data.held_x) * score_flops(self.sizes, count)
        log_p = logits(self.block, h)[..., : self.data.classes].log_softmax(2)
        truth = self.data.held_y.expand(len(self.flat), -1).unsqueeze(2)
        return log_p.argmax(2), -log_p.gather(2, truth).squeeze(2)

    def fits(self, scores: list, finite: list[torch.Tensor], clock: Phases) -> list[Fit]:
        held_y, diverged = self.data.held_y, (~torch.stack(finite, 1)).int()
        cost = {name: seconds / len(self.flat) for name, seconds in clock.columns().items()}
        solves = self.adam.steps * (2 if self.switches.difference == "centred" else 1)
        return [
            Fit(
                **watched([(classes[t], losses[t]) for classes, losses in scores], held_y),
                diverged_epoch=int(diverged[t].argmax()) + 1 if diverged[t].any() else None,
                parameter_hash=sha256(self.flat[t].float().numpy().tobytes()).hexdigest()[:16],
                n_parameters=n_parameters(self.sizes),
                n_steps=self.adam.steps,
                flops=float(self.flops[t]),
                cost=cost,
                audit={
                    "free_iterations": float(self.free_count[t]) / self.adam.steps,
                    "nudged_iterations": float(self.nudged_count[t]) / solves,
                },
            )
            for t in range(len(self.flat))
        ]
