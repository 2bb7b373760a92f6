"""What a network says of the answers that count, and the training loss of it."""

import torch

from scripts.deep_gpcm.models.batches import Batch, Resident
from scripts.deep_gpcm.models.network import Forward, Heads, Network, log_probability
from scripts.deep_gpcm.options import Training


def shown(batch: Batch, train: Training) -> Batch:
    """The batch as the model sees it: padded unless `padding` is `none`; with the original's ids.

    `zero_id` gives the first question the id of padding, as files with ids from 0 do
    (docs/studies/deep_gpcm.md, Traps).
    """
    if train.zero_id:
        batch = Batch(batch.question - 1, batch.response, batch.lengths)
    return batch if train.padding == "none" else batch.padded()


def scored(
    net: Network, forward: Forward, batch: Batch, train: Training
) -> tuple[torch.Tensor, torch.Tensor, Heads]:
    """Log-probabilities (S, K), responses (S,) and heads of the rows that count.

    Padding counts only if `padding` is `counted`, which is the original's missing mask. It computes
    where the network is.
    """
    batch = shown(batch.on(net.device), train)
    # Under autocast they come in bfloat16, too coarse for probabilities and for sums of losses.
    heads = Heads(*(part.to(net.value_bias.dtype) for part in forward(net, batch)))
    # The levels are the question's own, by whichever id it is shown.
    log_p = log_probability(net, heads, batch.question + train.zero_id)
    response = batch.response
    if batch.answered is None or train.padding == "counted":
        return log_p, response, heads
    rows = batch.answered
    return log_p[rows], response[rows], Heads(*(part[rows] for part in heads))


def row_losses(log_p: torch.Tensor, response: torch.Tensor, loss: str) -> torch.Tensor:
    """Cross-entropy of each row, (S,); `double_softmax` takes probabilities for logits."""
    if loss == "double_softmax":
        log_p = torch.log_softmax(log_p.exp(), 1)
    return -log_p.gather(1, response.unsqueeze(1)).squeeze(1)


@torch.no_grad()
def predict(
    net: Network, forward: Forward, data: Resident, train: Training
) -> tuple[torch.Tensor, torch.Tensor, Heads]:
    """Log-probabilities (n, K) in float64, responses (n,) and heads of the rows that count.

    On the CPU, wherever the network is.
    """
    batches = torch.arange(len(data)).split(train.batch)
    found = [scored(net, forward, data.batch(chosen), train) for chosen in batches]
    log_p, response, heads = zip(*found, strict=True)
    together = Heads(*(torch.cat(parts).cpu() for parts in zip(*heads, strict=True)))
    return torch.cat(log_p).double().cpu(), torch.cat(response).cpu(), together
