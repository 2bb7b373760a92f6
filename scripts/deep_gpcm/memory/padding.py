"""Rows of ragged sequences as a padded batch and back."""

import torch


def places(lengths: torch.Tensor) -> torch.Tensor:
    """Where each row stands in the flattened padded batch (B * T), T the longest; int64 (S,)."""
    longest = int(lengths.max())
    starts = lengths.cumsum(0) - lengths
    shift = torch.arange(len(lengths)) * longest - starts
    return torch.arange(int(lengths.sum())) + shift.repeat_interleave(lengths)


def padded(rows: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """Rows (S, F) of sequences one after the other as (B, T, F), zeros behind each sequence."""
    size = (len(lengths), int(lengths.max()), *rows.shape[1:])
    flat = rows.new_zeros(size[0] * size[1], *rows.shape[1:])
    return flat.index_copy(0, places(lengths), rows).view(size)


def packed(batch: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """The rows (S, F) of a padded batch (B, T, F)."""
    return batch.flatten(0, 1).index_select(0, places(lengths))
