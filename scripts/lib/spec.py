"""A job's specification: plain values as one canonical JSON text, and its digest."""

import hashlib
import json
from typing import Any


def canonical(value: Any) -> str:
    """JSON with sorted keys and no spaces: equal values give equal text, NaN is refused."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(*parts: Any) -> str:
    """16 hexadecimal digits that identify these values."""
    return hashlib.sha256(canonical(parts).encode()).hexdigest()[:16]
