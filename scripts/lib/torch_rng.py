"""PyTorch generators on random streams addressed by label."""

import torch

from scripts.lib.seeds import seed63, stream


def torch_rng(*labels: str | int) -> torch.Generator:
    """CPU generator on the stream of these labels (root seed first)."""
    return torch.Generator().manual_seed(seed63(stream(*labels)))
