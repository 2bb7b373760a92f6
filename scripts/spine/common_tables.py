"""Tables that every chapter has: results by cell, agreement, costs, ratios, phases, packages."""

from collections.abc import Sequence
from typing import Any

from scripts.lib.numerals import MISSING, plus_minus, ranged, span, whole
from scripts.lib.page_study import Told
from scripts.lib.page_tables import Badge, Column, Name, Row, Table, entry, number, text
from scripts.lib.sections import in_words
from scripts.spine.headlines import QUANTITIES


def named_quantity(name: str) -> Name:
    """A quantity or metric in words, its column in the tooltip."""
    return Name(name, QUANTITIES.get(name, in_words(name)))


def passed(row: Row) -> Any:
    """Whether a test was passed; a word that is loud where it was not."""
    if row["passed"] is None:
        return "undecided" if row["test"] not in ("reported", "counted") else MISSING
    return "yes" if row["passed"] is True else Badge("NO", "bad")


def interval_of(row: Row) -> str:
    """The interval of a row that may have none."""
    return span(row.get("low"), row.get("high"))


def test_columns(told: Told) -> list:
    """What was tested and what came out."""
    return [
        entry("metric", lambda row: named_quantity(row["metric"])), entry("test"),
        number("pairs", "n_pairs"), number("difference"), number("90 % interval", interval_of),
        number("margin"), entry("passed", passed), text("note"),
    ]  # fmt: skip


def agreement(told: Told) -> Table:
    """Every test of every arm."""
    columns = [told.naming("arm"), entry("level"), entry("where"), *test_columns(told)]
    source = f"{told.study}/agreement.csv"
    return told.table(
        "agreement", columns, told.agreement, source, lambda row: row["arm"] == told.arm
    )


def controls(told: Told) -> Table:
    """Tests of the wrong twins: one that none of them fails is too weak."""
    wrong = told.with_role("control")
    rows = [row for row in told.agreement if row["arm"] in wrong and row["metric"] != "pairs"]
    caught = {(row["arm"], row["where"]) for row in rows if row["passed"] is False}

    def found(row: Row) -> Badge:
        if (row["arm"], row["where"]) in caught:
            return Badge("fails, as it must", "good")
        return Badge("NOT FOUND: the test is too weak", "bad")

    columns = [told.naming("arm"), entry("where"), entry("verdict", found), *test_columns(told)]
    return told.table("controls", columns, rows, f"{told.study}/agreement.csv")


def cells(told: Told, nested: Sequence[dict[str, Row]]) -> Table:
    """The result by cell: means with MCSE, proportions with Wilson's interval."""

    def units(cell: dict[str, Row]) -> str:
        any_ = next(iter(cell.values()))
        lost = f" (+{any_['n_not_ok']} not ok)" if any_["n_not_ok"] else ""
        return f"{any_['units']}{lost}"

    def metric(name: str) -> Any:
        def value(cell: dict[str, Row]) -> str:
            row = cell.get(name)
            if row is None:
                return MISSING
            if row["kind"] == "proportion":
                return ranged(row["value"], row["low"], row["high"])
            return plus_minus(row["value"], row["mcse"])

        return number(in_words(name), value)

    def label(axis: str) -> Any:
        return entry(axis, lambda cell: str(next(iter(cell.values()))[axis]))

    columns = [*map(label, told.axes[:-1]), number("units", units)]
    columns += [metric(name) for name in told.report["table"]]
    return told.table("cells", columns, nested, f"{told.study}/summary.csv")


def counters(costs: Sequence[Row]) -> list[str]:
    """Columns that count work."""
    names = costs[0] if costs else ()
    return [n for n in names if n.startswith(("n_", "noise_")) and not n.endswith("_s")]


def cost(told: Told, costs: Sequence[Row]) -> Table:
    """Medians of each contestant; a workload whose memory was traced has no times."""

    def timed(key: str, factor: float = 1.0, over: str | None = None) -> Any:
        def value(row: Row) -> float | None:
            if row.get("tensor_peak_mb") or (over and not row[over]):
                return None
            return factor * row[key] / (row[over] if over else 1)

        return value

    def wall(row: Row) -> str:
        traced = row.get("tensor_peak_mb")
        return MISSING if traced else ranged(row["wall_s"], row["fastest"], row["slowest"])

    counted = counters(costs)
    columns = [
        Column("workload", lambda row: told.workload(row["workload"]), "head"),
        told.naming("contestant"),
        number("processes × threads", lambda row: f"{row['workers']} × {row['threads']}"),
        number("rounds"), number("times", "inner_repeats"), number("wall s (range)", wall),
        number("work s", timed("fit_s")), number("CPU s", timed("cpu_s")),
    ]  # fmt: skip
    if "n_steps" in counted:
        columns.append(number("ms per step", timed("cpu_s", 1000, "n_steps")))
    columns += [number(in_words(name.removeprefix("n_")), name) for name in counted]
    columns += [
        number("page faults", "minor_faults", whole), number("resident MB", timed("rss_mb")),
        number("tensor peak MB", "tensor_peak_mb"),
    ]  # fmt: skip
    source = f"{told.study}/measurements.parquet"
    return told.table("cost", columns, costs, source, lambda row: row["arm"] == told.arm)


def packages(told: Told, peers: Sequence[Row]) -> Table:
    """Other packages at the same work."""

    def outcome(row: Row) -> str:
        if row["measured"] is None:
            return ": ".join(part for part in (row["verdict"], row["reason"]) if part)
        none = row["verdict"] == "no difference found"
        value = ranged(row["measured"], row["low"], row["high"])
        return f"{value}, {row['verdict']}" if none else value

    columns = [
        told.naming("arm", "peer"), entry("package"), told.naming("beside", "ours", ""),
        text("workload", lambda row: row["workload"] and told.workload(row["workload"])),
        entry("quantity", lambda row: named_quantity(row["quantity"])),
        number("package", "of_peer"), number("ours", "of_ours"), number("rounds or units", "n"),
        text("ratio, or why none", outcome),
    ]  # fmt: skip
    return told.table("packages", columns, peers, "peers.csv")


def phases(told: Told, seconds: Sequence[Row]) -> Table:
    """Shares of exclusive phases in per cent, and the seconds that they are shares of."""
    names = told.report["phases"]

    def total(row: Row) -> float:
        return sum(row[name] for name in names)

    def share(name: str) -> Any:
        return lambda row: f"{100 * row[name] / (total(row) or 1):.1f}"

    columns = [told.naming("contestant")]
    columns += [number(f"{at} {name}", share(name)) for at, name in enumerate(names, start=1)]
    columns.append(number("seconds", total))
    return told.table("phases", columns, seconds, f"{told.study}/measurements.parquet")


def units(told: Told, counts: Sequence[Row]) -> Table:
    """Units by arm, device and status."""

    def role(row: Row) -> Any:
        roles = [n for n, arm in (("result", told.arm), ("reference", told.reference))
                 if arm == row["arm"]]  # fmt: skip
        return Badge(", ".join(roles)) if roles else ""

    columns = [
        told.naming("arm"), entry("", role), entry("device"), entry("status"),
        number("units", "count"),
    ]  # fmt: skip
    return told.table(
        "units", columns, counts, f"{told.study}/runs.parquet", lambda row: row["arm"] == told.arm
    )
