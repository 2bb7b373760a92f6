"""What the chapter says of the adapters: what is lost without text tensors, and its control."""

from typing import Any

from scripts.lib.numerals import ranged, span, tiny, written
from scripts.lib.page_study import Alarm, Finding, Said, Told
from scripts.lib.page_tables import Row, Table, entry, number, text
from scripts.lora_ablation.outcome.grid import FULL

SHOWN = 40  # unfinished runs that are named one by one
VISUAL = "visual"  # the selection that adapters of a UNet are asked about
share = written("{:.1f} %", 100)


def ends(prefix: str) -> Any:
    """An interval of two columns."""
    return lambda row: span(row[f"{prefix}_low"], row[f"{prefix}_high"])


def judged(told: Told) -> str:
    """The representation of the headline: the ensemble, else the best on validation rows."""
    names = {row["representation"] for row in told.rows("drops")}
    if not names or "ensemble" in names:
        return "ensemble" if names else ""
    grid = [
        row for row in told.rows("grid")
        if row["layers"] == "all" and row["share"] == FULL and row["representation"] in names
    ]  # fmt: skip
    best = max(grid, key=lambda row: row["val_accuracy"], default=None)
    return best["representation"] if best else sorted(names)[0]


def kept_part(told: Told) -> str:
    """The selection whose drop has a control: attn1 in a UNet, what others have in its place."""
    halves = [row["contrast"].removeprefix("half-") for row in told.rows("drops")
              if row["contrast"].startswith("half-")]  # fmt: skip
    return next(iter(halves), VISUAL)


def comparisons(told: Told) -> tuple[str, str]:
    """The comparisons of the headline: what is lost, and what beyond its control."""
    return f"all-{kept_part(told)}", f"half-{kept_part(told)}"


def findings(told: Told) -> list[Finding]:
    """What is lost with a part of the tensors alone, and whether a random half loses as much."""
    name, part = judged(told), kept_part(told)
    rows = {r["contrast"]: r for r in told.rows("drops") if r["representation"] == name}
    lost, beyond = (rows.get(contrast) for contrast in comparisons(told))
    if not lost:
        return [Finding("Accuracies with and without a part were not compared.", "not compared")]
    if blind := unskilled(told, name):
        return [blind]
    moved = (
        "falls" if lost["low"] > 0 else "rises" if lost["high"] < 0 else "is not shown to change"
    )
    size = ranged(lost["drop"], lost["low"], lost["high"])
    is_visual = part == VISUAL
    left = "Without the cross-attention tensors (attn2)" if is_visual else f"With {part} alone"
    said = f"{left} the accuracy of {told.name(name)} {moved} (drop {size})"
    if not beyond:
        return [Finding(f"{said}, without a control for half of the tensors.", moved,
                        lost["drop"], lost["low"], lost["high"])]  # fmt: skip
    verdict = "more" if beyond["low"] > 0 else "less" if beyond["high"] < 0 else "undecided"
    words = {
        "more": "more than", "less": "less than", "undecided": "not shown to be more than",
    }[verdict]  # fmt: skip
    control = ranged(beyond["drop"], beyond["low"], beyond["high"])
    said += f", {words} a random half of the tensors loses (difference {control}); 95 % intervals."
    return [Finding(said, verdict, lost["drop"], lost["low"], lost["high"])]


def unskilled(told: Told, name: str) -> Finding | None:
    """That a representation tells no classes apart, so that there is nothing to lose."""
    for row in told.rows("grid"):
        if (row["representation"], row["layers"], row["share"]) == (name, "all", FULL):
            low, high = row["wilson_low"], row["wilson_high"]
            guessed = max(row["chance"], row["majority"])
            if low <= guessed:
                accuracy = ranged(row["accuracy"], low, high)
                said = (
                    f"With all tensors the accuracy of {told.name(name)}, {accuracy}, is not shown "
                    f"to be above guessing ({guessed:.3g}), so a part of them has nothing to lose."
                )
                return Finding(said, "no better than guessing", row["accuracy"], low, high)
    return None


def grid(told: Told) -> Table:
    """Accuracy by representation and selection, on all training rows."""
    columns = [
        told.naming("representation"), entry("selection", "layers"), number("runs"),
        number("accuracy"), number("Wilson", ends("wilson")), number("bootstrap", ends("boot")),
        number("sd over runs", "sd_runs"), number("training accuracy", "train_accuracy"),
        number("macro F1", "f1"), number("columns", "n_features"), number("kept", "n_kept"),
        number("parameters", "n_parameters"), number("epochs"),
    ]  # fmt: skip
    rows = [row for row in told.rows("grid") if row["share"] == FULL]
    return told.table("grid", columns, rows, marked=lambda row: row["layers"] == "all")


def drops(told: Told) -> Table:
    """What is lost with one selection against another."""
    headline = comparisons(told)
    columns = [
        told.naming("representation"), entry("comparison", "contrast"), number("drop"),
        number("95 % interval", lambda row: span(row["low"], row["high"])),
        number("se of runs", "se_runs"), number("relative drop", "relative", share),
        number("retained", "retention", share), number("p"), number("p, Holm", "p_holm"),
        number("test rows", "n_test"),
    ]  # fmt: skip
    return told.table("drops", columns, marked=lambda row: row["contrast"] in headline)


def svd(told: Told) -> Table:
    """Ways to singular values, by rank."""
    columns = [
        number("rank"), told.naming("way of", "contestant"),
        number("µs per matrix", "us_per_matrix"), number("error of σ", "sigma_error", tiny),
        number("deviation"),
    ]  # fmt: skip
    return told.table("svd", columns)


def stages(told: Told) -> Table:
    """Measured costs by stage, and a model of larger collections."""
    columns = [
        entry("stage"), told.naming("contestant"), number("measured ms", "cost_ms"),
        entry("per", lambda row: "adapter" if row["per"] == "n_adapters" else "step"),
        number("adapters"), number("modelled s", "model_s"),
    ]  # fmt: skip
    return told.table("stages", columns)


def repairs(told: Told) -> Table:
    """Accuracy with a repair of the original and without."""
    columns = [
        told.naming("repair"), entry("cell"), number("repaired", "accuracy_repaired"),
        number("as in the original", "accuracy_legacy"), number("difference"), text("note"),
    ]  # fmt: skip
    return told.table("repairs", columns)


def completeness(rows: list[Row]) -> dict[str, Any] | None:
    """How many runs of the grid finished, and which did not."""
    if not rows:
        return None
    lost = [row for row in rows if row["status"] != "ok"]
    named = [
        f"{r['representation']}/{r['layers']}/{r['share']}/{r['run']} ({r['status']})"
        for r in lost[:SHOWN]
    ]
    if len(lost) > SHOWN:
        named.append(f"and {len(lost) - SHOWN} more")
    return {"all": len(rows), "finished": len(rows) - len(lost), "lost": named}


def alarms(complete: dict[str, Any] | None) -> list[Alarm]:
    """Runs of the grid that did not finish."""
    if not complete or not complete["lost"]:
        return []
    return [
        Alarm(
            "Grid incomplete",
            f"{complete['finished']} of {complete['all']} runs finished. Not finished, as "
            f"representation/selection/share/run: {', '.join(complete['lost'])}. What they would "
            "have shown is absent; no other row moves.",
        )
    ]


LIMITS = [
    "Another split: all runs share one. The intervals treat test rows as independent; adapters of "
    "one leaf concept resemble each other, so that they are rather too narrow.",
    "Accuracy on a new concept: adapters in training and test may be made from the same leaf "
    "concept, even from the same images, unless the split is grouped by leaf; it is then lower.",
    "An untouched choice: early stopping and any choice of settings use the same validation rows.",
    "What a linear classifier would reach: none stands beside the perceptron.",
]


def say(told: Told) -> Said:
    """Findings, tables, limits and facts of the chapter."""
    rows = told.rows("grid")
    source = told.settings.get("source")
    made = told.settings.get("sources", {}).get(source, {})
    synthetic = made.get("kind") == "generated"
    tables = {
        "grid": grid(told), "drops": drops(told), "svd": svd(told), "stages": stages(told),
        "repairs": repairs(told), "reading": told.reading("data"),
    }  # fmt: skip
    facts = {
        "complete": completeness(told.rows("complete")), "any": rows[0] if rows else None,
        "synthetic": synthetic, "rank": made.get("rank"), "part": kept_part(told),
        "unet": kept_part(told) == VISUAL,
    }  # fmt: skip
    real = (
        ["Anything about real adapters: the collection is generated, and its signal is a setting."]
        if synthetic
        else []
    )
    return Said(findings(told), alarms(facts["complete"]), tables, real + LIMITS, facts)
