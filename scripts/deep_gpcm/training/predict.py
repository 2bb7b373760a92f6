"""What a network predicts of all sequences of a part, in their order."""

from collections.abc import Callable

import torch

from scripts.deep_gpcm.model.batch import Resident
from scripts.deep_gpcm.model.equations import Heads
from scripts.deep_gpcm.model.network import Network
from scripts.deep_gpcm.training.loss import scored


@torch.no_grad()
def predict(
    net: Network, forward: Callable, data: Resident, train: dict
) -> tuple[torch.Tensor, torch.Tensor, Heads]:
    """Log-probabilities (n, K) in float64, responses (n,) and heads of the rows that count."""
    batches = torch.arange(len(data)).split(train["batch"])
    found = [scored(net, forward, data.batch(chosen), train) for chosen in batches]
    log_p, response, heads = zip(*found, strict=True)
    together = Heads(*(torch.cat(parts) for parts in zip(*heads, strict=True)))
    return torch.cat(log_p).double(), torch.cat(response), together
