"""Tables of ratios: a row per pair of contestants, a column per quantity."""

from collections.abc import Callable, Sequence
from typing import Any

from scripts.lib.numerals import MISSING, ranged, span
from scripts.lib.page_study import VERDICTS, Told, verdict
from scripts.lib.page_tables import Column, Name, Row, Table, number, text
from scripts.spine.headlines import QUANTITIES

Pair = dict[str, Row]  # comparisons of two contestants by quantity


def ratio(row: Row | None) -> Any:
    """A ratio with its verdict below it, or nothing where none may be printed."""
    if row is None or row["verdict"] not in VERDICTS:
        return MISSING
    return [ranged(row["measured"], row["low"], row["high"]), verdict(row)]


def refusals(pair: Pair) -> str:
    """Why quantities of a pair have no ratio; a reason that all share is told once."""
    told = {name: verdict(row) for name, row in pair.items() if row["verdict"] not in VERDICTS}
    if len(told) == len(pair) and len(set(told.values())) == 1:
        return next(iter(told.values()))
    return "; ".join(f"{QUANTITIES.get(name, name)}: {reason}" for name, reason in told.items())


def noise_row(pairs: Sequence[Pair]) -> Pair:
    """The A/A interval of each quantity, as a row of the table of ratios."""
    return {
        name: row for pair in pairs for name, row in pair.items() if row["noise_low"] is not None
    }


def workload_of(pair: Pair) -> str:
    """The workload in which a pair was compared."""
    return next(iter(pair.values()))["workload"]


def work_of(row: Row) -> Row | None:
    """The comparison of the work of a pair, or of what was compared; None in the A/A row."""
    pair = row["pair"]
    return None if row["noise"] else pair.get("fit_s", next(iter(pair.values())))


def ratios(told: Told, pairs: Sequence[Pair]) -> dict[str, Table]:
    """The comparisons of each workload by its name, below the A/A intervals."""
    found = {}
    for workload in dict.fromkeys(map(workload_of, pairs)):
        here = [pair for pair in pairs if workload_of(pair) == workload]
        noise = noise_row(here)
        rows: list[Row] = [{"pair": noise, "noise": True}] if noise else []
        rows += [{"pair": pair, "noise": False} for pair in here]
        columns = ratio_columns(told, here)
        found[workload] = told.table(f"ratios-{workload}", columns, rows, "ratios.csv")
    return found


def ratio_columns(told: Told, pairs: Sequence[Pair]) -> list[Column]:
    """Who was compared, how well, each quantity, and why there is no ratio where there is none."""

    def sides(row: Row) -> str | Name:
        if (work := work_of(row)) is None:
            return "A/A interval"
        slower, faster = (told.name(work[key]) for key in ("slower", "faster"))
        return Name(f"{slower.id} / {faster.id}", f"{slower} / {faster}")

    def known(key: str, factor: float = 1) -> Callable[[Row], Any]:
        def value(row: Row) -> Any:
            work = work_of(row)
            found = None if work is None else work[key]
            return "" if found is None else found if isinstance(found, str) else factor * found

        return value

    def quantity(name: str) -> Column:
        def value(row: Row) -> Any:
            found = row["pair"].get(name)
            if row["noise"]:
                return span(found["noise_low"], found["noise_high"]) if found else MISSING
            return ratio(found)

        return number(QUANTITIES.get(name, name), value)

    names = dict.fromkeys(name for pair in pairs for name in pair)
    columns = [
        Column("baseline / contestant", sides, "head"), text("differs in", known("differs_in")),
        number("rounds", known("rounds")), number("half-width, %", known("half_width", 100)),
        *map(quantity, names),
    ]  # fmt: skip
    if any(map(refusals, pairs)):
        columns.append(text("why none", lambda row: "" if row["noise"] else refusals(row["pair"])))
    return columns
