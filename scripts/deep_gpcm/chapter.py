"""What the chapter says of the arms: who predicts better, what was wrong, and how it is known."""

from typing import Any

from scripts.deep_gpcm.metrics import BINS
from scripts.deep_gpcm.outcome.ladder_charts import COINCIDE
from scripts.lib.numerals import (
    MISSING,
    fixed,
    percent,
    plus_minus,
    ranged,
    signed,
    span,
    tiny,
)
from scripts.lib.page_study import Finding, Said, Told, verdict
from scripts.lib.page_tables import Badge, Column, Row, Table, entry, number, text

COUNTED = 0.001  # nats by which an NLL differs from that of the answers if padding is scored
# Arms that compute the same model in another way are shown by their distance from the reference.
SAME_MODEL = ("reference", "truth", "implementation", "control")


def result_of(told: Told) -> str:
    """The arm whose scores the others are compared with."""
    named = [row["arm"] for row in told.rows("scores") if row["role"] == "result"]
    return told.arm or next(iter(named), "fused")


def alike(told: Told) -> set[str]:
    """Arms that claim the reference's answers."""
    return {row["arm"] for row in told.agreement if row["level"] != "protocol"}


def ways(told: Told) -> list[str]:
    """Arms that compute the same model, what the original proposes among them; not its faults."""
    proposals = [arm for arm in told.with_role("original") if arm in alike(told)]
    return [*told.with_role(*SAME_MODEL), *proposals]


def defects(told: Told) -> list[str]:
    """Arms with a fault of the original."""
    return [arm for arm in told.with_role("original") if arm not in alike(told)]


def known_truth(told: Told) -> list[str]:
    """Data sets whose parameters are known."""
    return list(dict.fromkeys(row["data"] for row in told.rows("recovery")))


def counts_padding(row: Row) -> bool:
    """Whether a row's scores count padding: its NLL is not that of the answers alone."""
    return row["nll_answers"] is not None and abs(row["nll"] - row["nll_answers"]) > COUNTED


def difference(metric: str) -> Any:
    """A paired difference from the result with its interval."""

    def value(row: Row) -> str:
        ends = row[f"{metric}_low"], row[f"{metric}_high"]
        return ranged(row[f"{metric}_difference"], *ends, signed)

    return value


def with_sd(metric: str) -> Any:
    """A mean with its standard deviation over folds."""
    return lambda row: plus_minus(row[metric], row[f"{metric}_sd"], fixed)


def finding(told: Told, row: Row) -> Finding:
    """Whether a classical model predicts better than the network, as their interval says."""
    low, high = row["nll_low"], row["nll_high"]
    verdict = "lower" if high < 0 else "higher" if low > 0 else "undecided"
    arm, result = told.name(row["arm"]), told.name(result_of(told))
    size = abs(row["nll_difference"])
    words = {
        "lower": f"lower than that of {result} by {fixed(size)}: the classical model predicts "
        "better",
        "higher": f"higher than that of {result} by {fixed(size)}: the network predicts better",
        "undecided": f"not shown to differ from that of {result}: difference "
        f"{signed(row['nll_difference'])}",
    }[verdict]
    within = f"95 % interval of the difference {span(low, high, signed)}, "
    within += f"{row['common_folds']} folds"
    top = [
        f" The ceiling differs from {result} by {signed(one['nll_difference'])}."
        for one in told.rows("scores")
        if one["role"] == "ceiling" and one["data"] == row["data"]
        and one["nll_difference"] is not None
    ]  # fmt: skip
    said = f"On {row['data']} the NLL of {arm} is {words} ({within}).{''.join(top)}"
    return Finding(said, verdict, row["nll_difference"], low, high)


def findings(told: Told) -> list[Finding]:
    """One for each classical model that has folds in common with the result, main data first."""
    rows = [r for r in told.rows("scores") if r["role"] == "classical" and r["nll_low"] is not None]
    main = told.settings.get("data") or []
    rows = sorted(rows, key=lambda row: row["data"] not in main)
    none = Finding("No classical model has common folds with the network.", "not compared")
    return [finding(told, row) for row in rows] or [none]


def scores(told: Told) -> Table:
    """Scores by arm, best NLL first; other implementations of the same network are left out."""
    hidden = ways(told)
    shown = [row for row in told.rows("scores") if row["arm"] not in hidden]
    data = list(dict.fromkeys(row["data"] for row in shown))

    def rank(row: Row) -> tuple:
        answers = row["nll_answers"]
        return data.index(row["data"]), answers is None, 0 if answers is None else answers

    def arm(row: Row) -> Any:
        named = told.name(row["arm"])
        return [named, "(ceiling)"] if row["role"] == "ceiling" else named

    def nll(row: Row) -> Any:
        value = with_sd("nll")(row)
        if not counts_padding(row):
            return value
        return [
            value,
            Badge("padding counted", "bad"),
            f"answers alone: {fixed(row['nll_answers'])}",
        ]

    columns = [
        entry("data"), Column("arm", arm, "head"), number("folds"), number("NLL", nll),
        number("NLL, difference", difference("nll")), number("QWK", with_sd("qwk")),
        number("QWK, difference", difference("qwk")), number("accuracy", with_sd("accuracy")),
        number("within one", "ordinal_accuracy", fixed), number("MAE", "mae", fixed),
        number("Kendall’s τ", "kendall_tau", fixed), number("ECE", "ece", fixed),
        number("fit s", "fit_s"),
    ]  # fmt: skip
    best = result_of(told)
    return told.table("scores", columns, sorted(shown, key=rank),
                      marked=lambda row: row["arm"] == best)  # fmt: skip


def with_defects(told: Told) -> Table:
    """Scores with one fault of the original, beside those of the result on the same data."""
    faulty, best = defects(told), result_of(told)
    data = {row["data"] for row in told.rows("scores") if row["arm"] in faulty}
    rows = [
        row for row in told.rows("scores")
        if row["arm"] in faulty or (row["arm"] == best and row["data"] in data)
    ]  # fmt: skip
    columns = [
        entry("data"), told.naming("arm"), number("folds"), number("NLL", "nll", fixed),
        number("NLL, answers alone", "nll_answers", fixed), number("accuracy", format=fixed),
        number("accuracy, answers alone", "accuracy_answers", fixed),
        number("NLL, difference", difference("nll")), number("QWK, difference", difference("qwk")),
    ]  # fmt: skip
    return told.table("defects", columns, rows, f"{told.study}/tables/scores.csv",
                      lambda row: row["arm"] == best)  # fmt: skip


def agrees(row: Row) -> Any:
    """The badge of a rung of the ladder."""
    if row["agrees"] is None:
        if row["verdict"] is None:
            return "baseline"
        return "A/A" if row["ratio"] is not None else "not tested"
    return Badge("agrees", "good") if row["agrees"] else Badge("FAILS", "bad")


def ladder(told: Told) -> Table:
    """What each implementation costs a step, and how far its losses are from the reference's."""

    def concluded(row: Row) -> str:
        return MISSING if row["verdict"] is None else verdict(row)

    columns = [
        entry("workload", lambda row: told.workload(row["workload"])), told.naming("contestant"),
        number("rounds"), number("ms per step", "fit_ms"), number("CPU ms", "cpu_ms"),
        number("tensor peak MB", "tensor_peak_mb"),
        number("ratio", lambda row: ranged(row["ratio"], row["low"], row["high"])),
        number("A/A interval", lambda row: span(row["noise_low"], row["noise_high"])),
        entry("agreement", agrees),
        number("largest difference of a loss", "max_loss_difference", tiny),
        number("steps", "common_steps"), text("verdict", concluded),
    ]  # fmt: skip
    best = result_of(told)
    return told.table("ladder", columns, marked=lambda row: row["arm"] == best)


def recovery(told: Told) -> Table:
    """Estimates beside the true parameters."""
    hidden, best = ways(told), result_of(told)

    def ordered(row: Row) -> str:
        return percent(row["ordered_share"]) if row["parameter"] == "beta_1" else MISSING

    columns = [
        entry("data"), told.naming("arm"), entry("parameter"), number("folds"), number("n"),
        *(number(name, name.lower(), fixed) for name in ("correlation", "bias", "RMSE", "slope")),
        number("items with ordered thresholds", ordered),
    ]  # fmt: skip
    rows = [row for row in told.rows("recovery") if row["arm"] not in hidden]
    return told.table("recovery", columns, rows, marked=lambda row: row["arm"] == best)


def coincidence(told: Told) -> list[dict[str, Any]]:
    """For each data set the largest distance of implementations' losses from the reference's."""
    same, found = {*ways(told), result_of(told)} - set(told.with_role("control")), []
    rows = [row for row in told.rows("learning") if row["loss_difference"] is not None]
    for data in dict.fromkeys(row["data"] for row in rows):
        here = [row for row in rows if row["data"] == data and row["arm"] in same]
        if here:
            arms = [str(told.name(arm)) for arm in dict.fromkeys(row["arm"] for row in here)]
            largest = max(row["loss_difference"] for row in here)
            found.append({"data": data, "largest": largest, "arms": arms})
    return found


def limits(told: Told, known: list[str]) -> list[str]:
    """What the study does not show, by the data that it has."""
    data = dict.fromkeys(row["data"] for row in told.rows("scores"))
    unknown = [str(name) for name in data if name not in known]
    found = []
    if known:
        found.append(
            "Whether the network helps where ability changes: the answers in "
            f"{', '.join(map(str, known))} are drawn from the classical model itself, with "
            "abilities that stay what they are."
        )
    if unknown:
        found.append(
            f"How far {', '.join(unknown)} {'is' if len(unknown) == 1 else 'are'} from what could "
            "be reached: without the truth there is no ceiling and no recovery."
        )
    return [
        *found,
        "Which settings suit the network best: none was searched. A larger search could raise it; "
        "it cannot pass the ceiling on simulated data other than by chance.",
        "How results vary with the data: each data set is one draw, and folds share their training "
        "students.",
        "What a GPU would give, in time or in rank of the arms. Times of a step on long logs need "
        "not hold for other sizes of memory and batch.",
        "Agreement beyond what was run: implementations were compared on the data sets and folds "
        "on which both they and the reference ran. Rounding grows with steps, so that longer "
        "trainings are compared by their scores.",
    ]


def say(told: Told) -> Said:
    """Findings, tables, limits and facts of the chapter."""
    known, ran = known_truth(told), {row["arm"] for row in told.rows("scores")}
    controls = set(told.with_role("control")) & {row["arm"] for row in told.agreement}
    tables = {
        "scores": scores(told), "defects": with_defects(told), "ladder": ladder(told),
        "recovery": recovery(told),
    }  # fmt: skip
    facts = {
        "result": told.name(result_of(told)), "known": known, "bins": BINS, "coincide": COINCIDE,
        "faulty": sorted(ran & set(defects(told))), "unmasked": "unmasked" in ran,
        "coincidence": coincidence(told), "controls": sorted(controls),
    }  # fmt: skip
    return Said(findings(told), [], tables, limits(told, known), facts)
