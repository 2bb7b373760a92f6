"""Tables of the chapter: columns of what outcome/ computed."""

from collections.abc import Callable
from typing import Any

from scripts.lib.numerals import (
    MISSING,
    fixed,
    percent,
    plain,
    points,
    ranged,
    span,
    tiny,
    written,
)
from scripts.lib.page_study import Told
from scripts.lib.page_tables import Badge, Column, Name, Row, Table, entry, number, text
from scripts.tep_bp.outcome.distribution import LOW_RATE
from scripts.tep_bp.outcome.model_tables import WARN

VIEWS = {"trials": "trials", "cpu_s": "CPU-seconds", "flops": "FLOPs"}
KINDS = {"one_sided": "one-sided", "centred": "centred"}
PHASES = ("data", "free", "nudged", "update", "evaluate")
slope = written("{:.2f}")
cosine = written("{:.5f}")


def rule(id: str) -> Name:
    """A learning rule in capitals."""
    return Name(id, id.upper())


def ruled(heading: str = "rule", key: str = "rule") -> Column:
    """A column of rules."""
    return Column(heading, lambda row: rule(row[key]), "head")


def or_reason(format: Callable[[Row], str]) -> Callable[[Row], str]:
    """A cell of rows that are not comparable for a reason."""
    return lambda row: f"not comparable: {row['reason']}" if row.get("reason") else format(row)


def top_of(rows: list[Row]) -> str:
    """The scope whose verdicts are the headline: the mean of several best, where there are."""
    return "top" if any(row["scope"] == "top" for row in rows) else "chosen"


def pairs(told: Told) -> Table:
    """Differences of test accuracy between rules."""
    scope = top_of(told.rows("pairs"))
    why = text("verdict", lambda row: ": ".join(p for p in (row["verdict"], row["reason"]) if p))
    columns = [
        ruled("first", "first"), entry("second", lambda row: rule(row["second"])), entry("scope"),
        number("rounding"), number("configurations"), number("difference", format=points),
        number("90 % interval", lambda row: span(row["low"], row["high"], points)), number("p"),
        number("effect"), number("seeds"), number("samples"), why,
    ]  # fmt: skip
    return told.table(
        "pairs", columns, marked=lambda row: row["scope"] == scope and row["rounding"] == 0
    )


def choice(told: Told) -> Table:
    """How much of the choice of trials is luck."""
    columns = [
        ruled(), number("draws"), number("same first trial", "stays", percent),
        number("others that are first in some", "others"), number("top"),
        number("of the same among the top", "overlap", written("{:.1f}")),
    ]  # fmt: skip
    return told.table("choice", columns)


def repeats(told: Told) -> Table:
    """The best configurations by validation, trained again."""
    columns = [
        ruled(), number("rank", lambda row: row["rank"] + 1), number("trial", "chosen"),
        number("width", "hidden"), number("batch"), number("learning rate", "lr", tiny),
        number("weight decay", "weight_decay", str), entry("activation"),
        number("β", lambda row: row["beta"] if row["rule"] == "tep" else None),
        number("shrunken", "shrunken_accuracy", fixed), number("last epoch", "val_accuracy", fixed),
        text("test, mean (95 %)", or_reason(
            lambda row: ranged(row["test_accuracy"], row["low"], row["high"], fixed))),
        number("seeds", "n"), number("diverged"),
    ]  # fmt: skip
    return told.table("repeats", columns, marked=lambda row: row["rank"] == 0)


def budgets(told: Told, rules: list[str]) -> Table:
    """The expected best of what a budget pays for."""
    rows = told.rows("budgets")
    keys = list(dict.fromkeys((row["view"], row["budget"]) for row in rows))

    def size(key: Row) -> str:
        return {"flops": tiny, "trials": written("{:.0f}")}.get(key["view"], plain)(key["budget"])

    def best(id: str) -> Callable[[Row], str]:
        def value(key: Row) -> str:
            for row in rows:
                if (row["view"], row["budget"], row["rule"]) == (key["view"], key["budget"], id):
                    return or_reason(counted)(row)
            return MISSING

        return value

    def counted(row: Row) -> str:
        value = ranged(row["value"], row["low"], row["high"], fixed)
        told_n = row["view"] != "trials" and row["trials"] is not None and row["value"] is not None
        return f"{value}, n {row['trials']:.0f}" if told_n else value

    columns = [Column("budget in", lambda key: VIEWS.get(key["view"], key["view"]), "head"),
               number("budget", size), *(entry(id.upper(), best(id)) for id in rules)]  # fmt: skip
    return told.table("budgets", columns, [{"view": v, "budget": b} for v, b in keys],
                      f"{told.study}/tables/budgets.csv")  # fmt: skip


def classifiers(told: Told) -> Table:
    """What other classifiers reach on the same test samples."""
    columns = [
        entry("classifier"), number("test (95 %)", lambda row: ranged(
            row["test_accuracy"], row["low"], row["high"], fixed)),
        number("seeds"), number("converged"), number("samples"),
    ]  # fmt: skip
    return told.table("classifiers", columns)


def robustness(told: Told) -> Table:
    """How good all trials of a rule are."""
    columns = [
        ruled(), entry("stage"), number("trials", lambda r: f"{r['trials']} of {r['expected']}"),
        number("diverged"), number("failed"), number("best", format=fixed),
        number("median", format=fixed),
        number("quartiles", lambda r: span(r["lower_quartile"], r["upper_quartile"], fixed)),
        number("near best", "near_best", percent),
        number(f"median, lr < {LOW_RATE:g}", "median_lr_below", fixed),
        number(f"median, lr ≥ {LOW_RATE:g}", "median_lr_above", fixed),
        number("CPU s", "cpu_s"), number("FLOPs", "flops", tiny),
        text("why none", or_reason(lambda row: "")),
    ]  # fmt: skip
    return told.table("robustness", columns)


def crossed(
    told: Told, name: str, row_key: str, column_key: str, value: Callable[[Row], str], head: Column
) -> Table:
    """A table of two keys: rows by one, columns by the other."""
    rows = told.rows(name)
    across = list(dict.fromkeys(row[column_key] for row in rows))
    across = sorted(across) if across and not isinstance(across[0], str) else across

    def at(key: Any) -> Callable[[Row], str]:
        def cell(own: Row) -> str:
            found = [r for r in rows if r[row_key] == own[row_key] and r[column_key] == key]
            return value(found[0]) if found else MISSING

        return cell

    down = [{row_key: key} for key in dict.fromkeys(row[row_key] for row in rows)]
    columns = [head, *(number(str(key).replace("_", " "), at(key)) for key in across)]
    return told.table(name, columns, down, f"{told.study}/tables/{name}.csv")


def legacy(told: Told) -> Table:
    """The original's block and rule, as they are and with repairs."""

    def arm(row: Row) -> Any:
        named = told.name(row["arm"])
        return [named, "(another model)"] if row["role"] == "result" else named

    columns = [
        Column("arm", arm, "head"), number("trials"), number("best", format=fixed),
        number("median", format=fixed),
        number("quartiles", lambda r: span(r["lower_quartile"], r["upper_quartile"], fixed)),
        number("diverged"), number("failed"), number("CPU s", "cpu_s"),
        text("difference", or_reason(
            lambda r: ranged(r["difference"], r["low"], r["high"], points))),
    ]  # fmt: skip
    return told.table("legacy", columns, marked=lambda row: row["role"] == "result")


def bias(told: Told) -> Table:
    """Error of the estimated gradient by the strength of the nudge."""
    columns = [
        Column("difference", lambda r: KINDS.get(r["difference"], r["difference"]), "head"),
        number("β", "beta"), number("relative error", "error", tiny),
        number("1 − cosine", lambda r: None if r["cosine"] is None else 1 - r["cosine"], tiny),
        number("slope", format=slope),
    ]  # fmt: skip
    return told.table("bias", columns)


def economy(told: Told) -> Table:
    """The gate of the economy solver, a row per rounding of the initial weights."""

    def outcome(row: Row) -> Badge:
        passed = row["outcome"] == "passed"
        return Badge(
            row["outcome"] if passed else row["outcome"].upper(), "good" if passed else "bad"
        )

    columns = [
        Column("rounding", "rounding", "head"), entry("gate", outcome),
        number("paired trials", "trials"), number("accuracy, points", "mean_difference", points),
        number("90 % interval", lambda r: span(r["low"], r["high"], points)), number("networks"),
        number("share, median", "share", fixed),
        number("95 % bounds", lambda r: span(r["share_low"], r["share_high"], fixed)),
        number("cosine, median", "cosine", cosine), number("lowest", "cosine_worst", cosine),
        number("lowest of plain to exact", "cosine_of_exact_worst", cosine),
        number("shared best trials", lambda row: f"{row['top_overlap']} of {row['top']}"),
    ]  # fmt: skip
    return told.table("economy", columns)


def residuals(told: Told) -> Table:
    """How far states are from their fixed points, by width."""
    columns = [
        told.naming("arm"), entry("rule", lambda row: rule(row["rule"])), entry("solver"),
        number("width", "hidden"), number("trials"),
        number("free, median", "residual_free", tiny),
        number("free, worst", "residual_free_worst", tiny),
        number("nudged, median", "residual_nudged", tiny),
        number("nudged, worst", "residual_nudged_worst", tiny),
        number("largest norm of W", "spectral_norm", fixed),
        number(f"above {WARN:g}", "warned", percent),
        number("uniqueness not certain", "unbounded", percent),
    ]  # fmt: skip
    return told.table("residuals", columns, marked=lambda row: row["role"] == "result")


def widths(told: Told) -> Table:
    """Seconds of a trial by width."""
    columns = [
        told.naming("arm"), entry("rule", lambda row: rule(row["rule"])),
        number("width", "hidden"), number("trials"), number("epochs"), number("seconds", "fit_s"),
        number("CPU s", "cpu_s"), number("FLOPs", "flops", tiny),
        *(number(phase, phase, percent) for phase in PHASES),
    ]  # fmt: skip
    return told.table("widths", columns, marked=lambda row: row["role"] == "result")


def sanity(told: Told) -> Table:
    """Whether results lie where they were expected."""

    def inside(row: Row) -> Any:
        return MISSING if row["inside"] is None else "yes" if row["inside"] else Badge("NO", "bad")

    columns = [
        ruled(), entry("quantity"), number("value", format=fixed),
        number("band", lambda row: span(row["low"], row["high"], fixed)), entry("inside", inside),
    ]  # fmt: skip
    return told.table("sanity", columns)


def all_tables(told: Told, rules: list[str]) -> dict[str, Table]:
    """Tables of the chapter by name."""

    def counted(row: Row) -> str:
        return f"{fixed(row['median'])} ({row['trials']})"

    def importance(row: Row) -> str:
        return f"{row['importance']:.2f}"

    made = {make.__name__: make(told) for make in TABLES} | {"budgets": budgets(told, rules)}
    return made | {
        "importances": crossed(told, "importances", "rule", "hyperparameter", importance, ruled()),
        "by_batch": crossed(told, "by_batch", "arm", "batch", counted, told.naming("arm")),
    }


TABLES = (
    pairs,
    classifiers,
    choice,
    repeats,
    robustness,
    legacy,
    bias,
    economy,
    residuals,
    widths,
    sanity,
)
