"""How the arms of a figure are told apart."""

from scripts.lib.figures import FIRST, INK, SECOND

# Marker, line, colour and fill of the first arms of a table: result, classical, further ones.
SERIES = [
    ("o", "-", FIRST, True),
    ("D", "--", SECOND, True),
    ("^", ":", INK, False),
    ("s", "-.", FIRST, False),
]


def series(arms: list[str]) -> dict[str, tuple]:
    """The look of each arm, by the order of their appearance."""
    return {arm: SERIES[place % len(SERIES)] for place, arm in enumerate(dict.fromkeys(arms))}
