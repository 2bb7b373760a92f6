"""How the page writes numbers: each format takes a value that may be missing and gives a text."""

import math
from collections.abc import Callable
from numbers import Integral, Real
from typing import Any

MISSING = "\N{EN DASH}"
Format = Callable[[Any], str]


def is_missing(value: Any) -> bool:
    """Whether there is no value: None, or no number (NaN)."""
    return value is None or (isinstance(value, float) and value != value)


def plain(value: Any) -> str:
    """Three significant digits, whole numbers in full, a text as it is, a dash for nothing."""
    if is_missing(value):
        return MISSING
    if isinstance(value, bool) or not isinstance(value, Real):
        return str(value)
    if math.isinf(value):
        return "\N{INFINITY}" if value > 0 else "-\N{INFINITY}"
    return f"{value:,.0f}" if isinstance(value, Integral) or abs(value) >= 100 else f"{value:#.3g}"


def written(pattern: str, factor: float = 1.0) -> Format:
    """The format of a pattern such as "{:+.2f}", of the value times a factor; no "-0.00"."""

    def format(value: Any) -> str:
        if is_missing(value):
            return MISSING
        text = pattern.format(factor * value)
        zero = text.startswith("-") and not any(digit in text for digit in "123456789")
        return text.removeprefix("-") if zero else text

    return format


fixed = written("{:.3f}")  # three decimals, where a hundredth matters
signed = written("{:+.3f}")
points = written("{:+.2f}", 100)  # percentage points
percent = written("{:.0f} %", 100)
tiny = written("{:.1e}")
whole = written("{:.0f}")


def span(low: Any, high: Any, format: Format = plain) -> str:
    """ "a to b", or a dash if an end is missing."""
    if is_missing(low) or is_missing(high):
        return MISSING
    return f"{format(low)} to {format(high)}"


def ranged(value: Any, low: Any, high: Any, format: Format = plain) -> str:
    """ "v (a to b)", without the bracket if an end is missing."""
    within = span(low, high, format)
    return format(value) if within == MISSING else f"{format(value)} ({within})"


def plus_minus(value: Any, error: Any, format: Format = plain) -> str:
    """ "v ± e", without the error if it is missing."""
    return format(value) if is_missing(error) else f"{format(value)} ± {format(error)}"
