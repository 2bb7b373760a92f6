"""Training of one fold: the loop that all arms share (docs/studies/deep_gpcm.md, Training).

Departs: a batch with a large gradient is clipped, not skipped; a loss that is not finite ends the
training as `diverged`.
"""

import math
from dataclasses import dataclass, field

import torch

from scripts.deep_gpcm.data.fold import Fold
from scripts.deep_gpcm.metrics import confusion, qwk
from scripts.deep_gpcm.models.batches import Batch, Resident
from scripts.deep_gpcm.models.choices import evaluation, loader_of, step_of
from scripts.deep_gpcm.models.loss import predict, row_losses, scored
from scripts.deep_gpcm.models.network import Forward, Network
from scripts.deep_gpcm.models.optimizer import Schedule
from scripts.deep_gpcm.options import Training
from scripts.deep_gpcm.specs import GpcmJob
from scripts.lib.devices import torch_device
from scripts.lib.timing import Phases
from scripts.lib.torch_rng import torch_rng


@dataclass
class Fit:
    """A trained network, (loss, val_nll, val_qwk, lr) of each epoch, the loss before each step."""

    net: Network
    best_epoch: int = 0
    history: list[tuple[float, float, float, float]] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    n_answers: int = 0
    diverged: bool = False
    cost: dict[str, float] = field(default_factory=dict)

    def end_epoch(self, losses: list[float], nll: float, kappa: float, lr: float) -> None:
        """Take in the losses of an epoch's steps, and what its end is worth in the validation."""
        self.losses += losses
        mean = torch.tensor(losses, dtype=torch.float64).mean().item()
        # The last step's damage shows in the validation only.
        self.diverged = not math.isfinite(mean + nll)
        self.history.append((mean, nll, kappa, lr))


def parts(batch: Batch, count: int) -> list[Batch]:
    """The batch in `count` parts of sequences."""
    lengths = batch.lengths.chunk(count)
    rows = [int(part.sum()) for part in lengths]
    columns = (batch.question.split(rows), batch.response.split(rows), lengths)
    return [Batch(*part) for part in zip(*columns, strict=True)]


def descend(net: Network, forward: Forward, batch: Batch, train: Training, phases: Phases) -> float:
    """Fill the gradient of the mean loss of a batch, clipped; returns that loss.

    With `accumulate` parts the gradient is a sum over parts divided by all answers: exactly that of
    the whole batch, which a mean of means is not.
    """
    for parameter in net.parameters():
        parameter.grad = None
    loss, rows = 0.0, 0
    for part in parts(batch, train.accumulate):
        with torch.autocast(net.device.type, torch.bfloat16, enabled=train.autocast):
            log_p, response, _ = scored(net, forward, part, train)
        loss_sum = row_losses(log_p, response, train.loss).sum()
        phases.lap("forward")
        loss_sum.backward()
        loss += loss_sum.item()  # a GPU has computed all until then
        phases.lap("backward")
        rows += len(response)
    for parameter in net.parameters():
        if parameter.grad is None:  # autograd's, where no answer follows one that is written
            parameter.grad = torch.zeros_like(parameter)
        parameter.grad /= rows
    torch.nn.utils.clip_grad_norm_(net.parameters(), train.clip)
    return loss / rows


def validate(
    net: Network, forward: Forward, data: Resident, train: Training
) -> tuple[float, float]:
    """NLL and QWK of the validation sequences."""
    log_p, response, _ = predict(net, forward, data, train)
    return worth(log_p, response)


def worth(log_p: torch.Tensor, response: torch.Tensor) -> tuple[float, float]:
    """NLL and QWK of responses (n,) by log-probabilities (n, K) in float64."""
    nll = -log_p.gather(1, response.unsqueeze(1)).mean()
    counts = confusion(response.numpy(), log_p.argmax(1).numpy(), log_p.shape[1])
    return nll.item(), qwk(counts)


def fit(fold: Fold, job: GpcmJob, key: tuple) -> Fit:
    """Train on a fold as the arm says; `key` (root seed and labels) addresses its streams.

    Streams `init` and `shuffle` are the same for all arms and devices. Only the training and
    validation parts of the fold are read.
    """
    train, forward = job.train, evaluation(job.evaluation, job.memory, job.heads)
    phases = Phases()
    levels = torch.from_numpy(fold.levels)
    net = Network(job.model, levels, torch_rng(*key, "init"), train.precision)
    net.to(torch_device(job.device))
    loader = loader_of(job.loader, fold.parts["train"], train, torch_rng(*key, "shuffle"))
    step = step_of(job.step, list(net.parameters()), train)
    held_out, schedule, done = Resident(fold.parts["val"]), Schedule(train), Fit(net)
    kept = net.state_dict()
    phases.lap("prepare")
    while len(done.history) < train.epochs and not done.diverged:
        lr, losses = schedule.lr, []
        for batch in loader:
            phases.lap("data")
            losses.append(descend(net, forward, batch, train, phases))
            step(lr)
            done.n_answers += len(batch.question)
            phases.lap("optimizer")
        nll, kappa = validate(net, forward, held_out, train)
        done.end_epoch(losses, nll, kappa, lr)
        if schedule.keeps(kappa):
            kept = {name: value.clone() for name, value in net.state_dict().items()}
        phases.lap("validate")
    net.load_state_dict(kept)
    done.best_epoch, done.cost = schedule.best_epoch, phases.columns()
    return done
