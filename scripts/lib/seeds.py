"""Random streams addressed by label, never by loop position."""

import hashlib

import numpy as np


def stream(root: int, *labels: str | int) -> np.random.SeedSequence:
    """Seed sequence of these labels, e.g. stream(42, "engression", "normal", 100, 3, "noise").

    A label enters as the first 32 bits of its SHA-256, so adding a law, a size or a replication
    changes no other stream.
    """
    words = tuple(
        int.from_bytes(hashlib.sha256(repr(label).encode()).digest()[:4], "big") for label in labels
    )
    return np.random.SeedSequence(root, spawn_key=words)


def seed63(sequence: np.random.SeedSequence) -> int:
    """Non-negative 63-bit integer of a stream: fits int64 columns and torch generators."""
    return int(sequence.generate_state(1, np.uint64)[0] >> np.uint64(1))


def key64(sequence: np.random.SeedSequence) -> int:
    """64-bit integer of a stream: the key of its counter-based draws (counter_rng.py)."""
    return int(sequence.generate_state(1, np.uint64)[0])


def numpy_rng(root: int, *labels: str | int) -> np.random.Generator:
    """NumPy generator (PCG64) on the stream of these labels."""
    return np.random.Generator(np.random.PCG64(stream(root, *labels)))
