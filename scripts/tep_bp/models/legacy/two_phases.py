"""Solver, free and nudged phases of the original, and the gradient of their difference.

(docs/studies/tep_bp.md, The original's block.)
"""

from collections.abc import Callable

import torch

from scripts.tep_bp.models.legacy.transformer_block import (
    Block,
    Loop,
    drive,
    equation,
    logits,
    loop,
)
from scripts.tep_bp.options import Faults

Map = Callable[[torch.Tensor], torch.Tensor]


def solve(
    g: Map, h: torch.Tensor, steps: int, switches: Faults
) -> tuple[torch.Tensor, torch.Tensor]:
    """State [T, B, d] after at most `steps` of h <- (1 - damping) h + damping g(h), and counts [T].

    With `stop` "early" a trial stops at the first test, one every steps // 10 (1 to 5) iterations,
    at which |g(h_old) - h_new| < tol for all its samples and units. This is 1 - damping times the
    residual at h_old, and the slowest sample decides: faults of the original.

    Departs: the batch whose largest residual counts is that of one trial, not that of the stack.
    """
    damping, early = switches.damping, switches.stop == "early"
    every = min(max(steps // 10, 1), 5)
    running = torch.ones(len(h), 1, 1, dtype=torch.bool)
    counts = torch.full((len(h),), steps)
    whole = True
    with torch.no_grad():
        for step in range(1, steps + 1):
            target = g(h)
            new = torch.lerp(h, target, damping)
            h = new if whole else torch.where(running, new, h)
            if early and step % every == 0:
                residual = (target - new).abs().amax((1, 2), keepdim=True)
                stopped = running & (residual < switches.tol)
                counts[stopped.flatten()] = step
                running &= ~stopped
                whole = bool(running.all())
                if not running.any():
                    break
    return h, counts


def free(at: Loop, u: torch.Tensor, switches: Faults) -> tuple[torch.Tensor, torch.Tensor]:
    """h0 [T, B, d], from zero, and the iterations [T] it took."""
    start = torch.zeros(u.shape, dtype=u.dtype)
    return solve(lambda h: equation(at, u, h), start, switches.free_steps, switches)


def nudged_map(
    block: Block, at: Loop, u: torch.Tensor, hot: torch.Tensor, strength: torch.Tensor
) -> Map:
    """g(h) = f(h) - strength * d loss / d f(h), where the loss is a sample's cross-entropy.

    `hot` (T, B, classes and padding) has one-hot labels; strength [T, 1, 1] may be negative.
    """
    back = block.W_h.transpose(1, 2)

    def g(h: torch.Tensor) -> torch.Tensor:
        f = equation(at, u, h)
        error = logits(block, f).softmax(2).sub_(hot)
        return torch.baddbmm(f, error.mul_(strength), back, alpha=-1)

    return g


def nudge_strength(beta: torch.Tensor, size: int, switches: Faults) -> torch.Tensor:
    """beta [T, 1, 1], or by `nudge` "batch_mean" what a batch of `size` leaves of it: a fault."""
    return beta / size if switches.nudge == "batch_mean" else beta


class Step:
    """One batch of T trials: x [T, B, D], one-hot `hot` [T, B, C], beta [T, 1, 1].

    Call `free`, `nudged` and `gradient` in this order. `free_count` and `nudged_count` [T] are the
    iterations of the solves.
    """

    def __init__(
        self, block: Block, x: torch.Tensor, hot: torch.Tensor, beta: torch.Tensor, switches: Faults
    ):
        self.block, self.hot, self.beta, self.switches = block, hot, beta, switches
        self.u, self.loop = drive(block, x), loop(block)

    def free(self) -> None:
        self.h, self.free_count = free(self.loop, self.u, self.switches)

    def nudged(self) -> None:
        strength = nudge_strength(self.beta, self.hot.shape[1], self.switches)
        self.plus, self.nudged_count = self._nudged(strength)
        if self.switches.difference == "centred":
            self.minus, count = self._nudged(-strength)
            self.nudged_count = self.nudged_count + count

    def gradient(self) -> tuple[torch.Tensor, ...]:
        """A tensor for each of the block: one application of f at h0, and the exact head."""
        f = equation(self.loop, self.u, self.h)
        log_p = logits(self.block, self.h).log_softmax(2)
        head_loss = -(self.hot * log_p).sum() / self.hot.shape[1]
        return torch.autograd.grad([f, head_loss], self.block, [self._signal(f.detach()), None])

    def _signal(self, f: torch.Tensor) -> torch.Tensor:
        """d loss / d f(h0) [T, B, d] of the squared proxy mean((f(h0) - h+)^2) / beta, or of -v f.

        v = (h+ - h-) / (2 beta B) is minus the gradient of the mean loss, where beta is the nudge
        of a sample; so for the batch's mean, whose nudge is beta / B, B cancels.
        """
        if self.switches.difference == "one_sided":
            return 2 / (self.beta * f[0].numel()) * (f - self.plus)
        size = self.hot.shape[1]
        nudge = nudge_strength(self.beta, size, self.switches)
        return (self.minus - self.plus) / (2 * size * nudge)

    def _nudged(self, strength: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        g = nudged_map(self.block, self.loop, self.u, self.hot, strength)
        return solve(g, self.h, self.switches.nudged_steps, self.switches)
