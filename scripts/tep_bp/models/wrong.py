"""Wrong on purpose: twins of the fused trainer with one plausible mistake each, as controls.

Each must fail a test that the result or an implementation passes (docs/studies/tep_bp.md,
Controls); else that test is too weak. Nothing but control arms imports this.
"""

from scripts.tep_bp.models.fused.learner import Learner
from scripts.tep_bp.models.fused.network import CENTRE, FREE, MOVED, Samples


class DroppedNudge(Learner):
    """The second nudged phase goes without a nudge, so that it ends where the free phase does."""

    def teach(self, samples: Samples) -> None:
        super().teach(samples)
        plus, free = samples.states[CENTRE] + samples.states[MOVED] / 2, samples.states[FREE]
        samples.states[MOVED], samples.states[CENTRE] = plus - free, (plus + free) / 2


class LostSign(Learner):
    """Both nudged phases go towards the truth: the sign of beta is lost in the second."""

    def teach(self, samples: Samples) -> None:
        super().teach(samples)
        samples.states[CENTRE] += samples.states[MOVED] / 2
        samples.states[MOVED] = 0


class FullBatch(Learner):
    """The smaller last batch of an epoch is divided by the size of the others."""

    def update(self, samples: Samples, n: int) -> None:
        super().update(samples, self.trial.batch)


MISTAKES = {"dropped_nudge": DroppedNudge, "lost_sign": LostSign, "full_batch": FullBatch}
