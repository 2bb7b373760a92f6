"""A job's specification: plain values as one canonical JSON text, and digests of values."""

import hashlib
import json
from typing import Any

import numpy as np
from pydantic import BaseModel


def canonical(value: Any) -> str:
    """JSON with sorted keys and no spaces: equal values give equal text, NaN is refused.

    A model of scripts/lib/typed.py enters by its fields.
    """
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), allow_nan=False, default=_fields
    )


def _fields(value: Any) -> dict[str, Any]:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    raise TypeError(f"{type(value).__name__} is no plain value")


def digest(*parts: Any) -> str:
    """16 hexadecimal digits that identify these values."""
    return hashlib.sha256(canonical(parts).encode()).hexdigest()[:16]


def array_digest(*arrays: np.ndarray) -> str:
    """16 hexadecimal digits that identify these arrays: their types, shapes and bytes."""
    found = hashlib.sha256()
    for array in arrays:
        found.update(f"{array.dtype.str}{array.shape}".encode())
        found.update(np.ascontiguousarray(array))
    return found.hexdigest()[:16]
