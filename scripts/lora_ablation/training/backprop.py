"""Loss and gradient of R classifiers at once, in closed form, without autograd."""

import torch

from scripts.lora_ablation.training.network import BN_EPS, BN_MOMENTUM, HIDDEN_LAYERS, Shape

# grad where other > threshold, else 0, in one vectorised pass; compare and where take three.
where_above = torch.ops.aten.threshold_backward


class Backprop:
    """Cross-entropy gradient of R stacked classifiers.

    `parameters` and `gradient` are (R, size), `buffers` (R, layers, 2, H): the running statistics
    are updated as BatchNorm1d does. Dropout keeps where `torch.rand(B, H) > dropout`, layer by
    layer, from each run's own generator. The gradient of a bias in front of a batch norm is zero,
    as in exact arithmetic; autograd yields rounding noise there.
    """

    def __init__(
        self,
        shape: Shape,
        parameters: torch.Tensor,
        gradient: torch.Tensor,
        buffers: torch.Tensor,
        dropout: float,
        masks: list[torch.Generator],
        batch: int,
    ):
        self.views, self.grads = shape.views(parameters), shape.views(gradient)
        self.buffers, self.dropout, self.masks = buffers, dropout, masks
        self.uniform = torch.empty(len(parameters), batch, shape.hidden)
        gradient.zero_()

    def _forward(self, x: torch.Tensor) -> tuple[torch.Tensor, list[tuple]]:
        """Logits (R, B, C) and what each hidden layer has to remember."""
        batch, saved, hidden = x.shape[1], [], x
        for layer in range(HIDDEN_LAYERS):
            weight, bias, gamma, beta = self.views[4 * layer : 4 * layer + 4]
            a = torch.baddbmm(bias.unsqueeze(1), hidden, weight.transpose(1, 2))
            # Sums and products in place of var_mean, which takes thirty times as long here.
            mean = a.sum(1, keepdim=True).div_(batch)
            centred = a.sub_(mean)
            var = (centred * centred).sum(1, keepdim=True).div_(batch)
            running = self.buffers[:, layer]
            running[:, 0].lerp_(mean.squeeze(1), BN_MOMENTUM)
            running[:, 1].lerp_(var.squeeze(1) * (batch / (batch - 1)), BN_MOMENTUM)
            inverse = (var + BN_EPS).rsqrt_()
            standard = centred.mul_(inverse)
            active = torch.addcmul(beta.unsqueeze(1), standard, gamma.unsqueeze(1)).relu_()
            dropped = where_above(active, self._uniform(batch), self.dropout)
            saved.append((hidden, standard, inverse))
            hidden = dropped.div_(1 - self.dropout)
        weight, bias = self.views[-2:]
        saved.append((hidden,))
        return torch.baddbmm(bias.unsqueeze(1), hidden, weight.transpose(1, 2)), saved

    def _uniform(self, batch: int) -> torch.Tensor:
        """Fresh U(0, 1) numbers (R, B, H), each run's from its own generator."""
        uniform = self.uniform[:, :batch]
        for run, rng in enumerate(self.masks):
            torch.rand(uniform[run].shape, generator=rng, out=uniform[run])
        return uniform.to(self.views[0].dtype)

    def __call__(self, x: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Fill the gradient for x (R, B, D) and labels (R, B); the mean loss of each run, (R,)."""
        logits, saved = self._forward(x)
        log_p = logits.log_softmax(2)
        picked = labels.unsqueeze(2)
        loss = -log_p.gather(2, picked).mean((1, 2))
        batch = x.shape[1]
        d = log_p.exp_().scatter_add_(2, picked, torch.full_like(picked, -1, dtype=x.dtype))
        d.div_(batch)
        torch.bmm(d.transpose(1, 2), saved[-1][0], out=self.grads[-2])
        torch.sum(d, 1, out=self.grads[-1])
        d = torch.bmm(d, self.views[-2])
        for layer in reversed(range(HIDDEN_LAYERS)):
            hidden, standard, inverse = saved[layer]
            d_weight, _, d_gamma, d_beta = self.grads[4 * layer : 4 * layer + 4]
            gamma = self.views[4 * layer + 2]
            # What passed ReLU and dropout is positive behind them.
            d = where_above(d, saved[layer + 1][0], 0.0).div_(1 - self.dropout)
            torch.sum(d, 1, out=d_beta)
            torch.sum(d * standard, 1, out=d_gamma)
            # Batch norm backward: remove the mean and the part along the standardised input.
            d.sub_(d_beta.unsqueeze(1) / batch)
            d.addcmul_(standard, d_gamma.unsqueeze(1), value=-1 / batch)
            d.mul_(inverse * gamma.unsqueeze(1))
            torch.bmm(d.transpose(1, 2), hidden, out=d_weight)
            if layer:
                d = torch.bmm(d, self.views[4 * layer])
        return loss
