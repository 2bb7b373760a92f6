"""What the chapter says of the rules: is one better, what it costs, and whether to believe it."""

from scripts.lib.numerals import fixed, is_missing, percent, plain, points, span, tiny
from scripts.lib.page_study import Alarm, Finding, Said, Told
from scripts.lib.page_tables import Row
from scripts.tep_bp.chapter_tables import KINDS, all_tables, rule, top_of
from scripts.tep_bp.outcome.distribution import NEAR
from scripts.tep_bp.outcome.model_tables import WARN

RULES = {
    "tep": "Equilibrium propagation, centred: two nudged phases with +β and −β, each sample nudged "
    "by itself. Closed-form nudges, no automatic differentiation.",
    "bp": "A network with one hidden layer of the same width, trained by ordinary backpropagation: "
    "what people mean by BP. It is a different, cheaper model.",
    "rbp": "Recurrent backpropagation: the exact implicit gradient of the very model that TEP "
    "trains. It tells the learning rule from the architecture.",
}


def verdicts(told: Told) -> list[Row]:
    """The pairs of rules in the headline's scope, from the weights as they were drawn."""
    rows = told.rows("pairs")
    scope = top_of(rows)
    return [row for row in rows if row["scope"] == scope and row["rounding"] == 0]


def finding(row: Row) -> Finding:
    """Whether one rule is better than another, as their paired test accuracies say."""
    first, second = rule(row["first"]), rule(row["second"])
    if row["difference"] is None:
        return Finding(f"{first} − {second}: not comparable: {row['reason']}.", "not comparable")
    words = {
        "higher": f"{first} is higher", "lower": f"{first} is lower",
        "equal": "equal within the margin",
    }.get(row["verdict"], row["verdict"])  # fmt: skip
    again = ""
    if not is_missing(row.get("survives")):
        same = "the same" if row["survives"] else "ANOTHER"
        again = f" Trained again from re-rounded weights the verdict is {same}."
    said = (
        f"{first} − {second}: {points(row['difference'])} percentage points of test accuracy (90 % "
        f"interval {span(row['low'], row['high'], points)}, margin {100 * row['margin']:.2f}): "
        f"{words}.{again}"
    )
    return Finding(said, row["verdict"], row["difference"], row["low"], row["high"])


def findings(told: Told) -> list[Finding]:
    """Verdicts on the rules; the first is about equilibrium propagation and backpropagation."""
    rows = verdicts(told)
    order = sorted(rows, key=lambda row: (row["first"], row["second"]) != ("tep", "bp"))
    if not order:
        return [Finding("The rules were not compared on test samples.", "not compared")]
    return [finding(row) for row in order]


def bias_told(told: Told) -> str:
    """How the error of the gradient falls with the strength of the nudge, for each difference."""
    rows, parts = told.rows("bias"), []
    for kind in dict.fromkeys(row["difference"] for row in rows):
        here = [row for row in rows if row["difference"] == kind]
        first = here[0]
        said = f"the {KINDS.get(kind, kind)} difference has a relative error of "
        said += f"{tiny(first['error'])} at β = {plain(first['beta'])}"
        if sloped := next((row for row in here if row["slope"] is not None), None):
            said += f", and its slope on log axes is {sloped['slope']:.2f} between that β and the"
            said += " next"
        parts.append(said)
    return "; ".join(parts)


def price(told: Told) -> dict[str, float | None] | None:
    """How many times the FLOPs and CPU-seconds of a bp trial one of tep takes."""
    by_rule = {row["rule"]: row for row in told.rows("robustness") if row["flops"]}
    dear, cheap = by_rule.get("tep"), by_rule.get("bp")
    if not (dear and cheap):
        return None
    known = dear["cpu_s"] and cheap["cpu_s"]
    return {
        "flops": dear["flops"] / cheap["flops"],
        "cpu": dear["cpu_s"] / cheap["cpu_s"] if known else None,
    }


REPAIRED = {
    "better": "The faults, not the choice of hyperparameters, explain this difference: these are "
    "the same.",
    "worse": "The repairs made it worse here.",
    "no difference": "No difference was found here.",
}


def repair(told: Told) -> Finding | None:
    """What all repairs of the original together changed, and whether it is more than chance."""
    faulty = [row for row in told.rows("legacy") if row["role"] == "legacy"]
    if len(faulty) < 2 or faulty[-1]["difference"] is None:
        return None
    first, last = faulty[0], faulty[-1]
    verdict = "better" if last["low"] > 0 else "worse" if last["high"] < 0 else "no difference"
    said = (
        f"Median validation accuracy is {fixed(first['median'])} for {told.name(first['arm'])} and "
        f"{fixed(last['median'])} for {told.name(last['arm'])}; the mean paired difference over "
        f"{last['pairs']} trials is {points(last['difference'])} points (95 % interval "
        f"{span(last['low'], last['high'], points)}). {REPAIRED[verdict]}"
    )
    return Finding(said, verdict, last["difference"], last["low"], last["high"])


def scale(told: Told) -> dict[str, float] | None:
    """Standard error of one accuracy on the test samples, against which differences are seen."""
    heads = [r for r in told.rows("repeats") if r["rank"] == 0 and r["test_accuracy"] is not None]
    samples = [row["samples"] for row in told.rows("pairs") if row["samples"] is not None]
    if not heads or not samples or not 0 < (p := heads[0]["test_accuracy"]) < 1:
        return None
    return {"accuracy": p, "samples": samples[0], "error": (p * (1 - p) / samples[0]) ** 0.5}


def gate(told: Told) -> Row | None:
    """The outcome of the economy solver's gate; `contradicted`: solvers used against it."""
    rows = told.rows("economy")
    if not rows:
        return None
    used = {r["solver"] for r in told.rows("residuals") if r["role"] == "result"}
    survives = rows[0].get("survives")
    return rows[0] | {
        "passed": rows[0]["verdict"] == "passed",
        "survives": None if is_missing(survives) else bool(survives),
        "contradicted": sorted(used - {rows[0]["solver"]}),
    }


def alarms(told: Told, gate: Row | None, refused: list[Row]) -> list[Alarm]:
    """What a reader must know before the figures: gate, missing trials, bands, residuals."""
    found = []
    if gate and not gate["passed"]:
        why = f" ({gate['reasons']})" if gate["reasons"] else ""
        found.append(
            Alarm(
                f"GATE {gate['verdict'].upper()}",
                "The economy solver did not pass its gate: the result falls back to the "
                f"{gate['solver']} solver{why}.",
            )
        )
    if gate and gate["contradicted"]:
        used = ", ".join(gate["contradicted"])
        found.append(Alarm("CONTRADICTION", f"Trials of the result ran with {used}."))
    found += [
        Alarm("not comparable", f"{row['reason']}. Comparisons leave this rule out.")
        for row in refused
    ]
    inside = [row["inside"] for row in told.rows("sanity")]
    if outside := inside.count(False):
        found.append(
            Alarm(
                "OUTSIDE",
                f"{outside} of {len(inside)} quantities lie outside the band that was written down "
                "before: suspect a bug before a finding.",
            )
        )
    warned = [
        f"{rule(row['rule'])} at width {row['hidden']} in {percent(row['warned'])}"
        for row in told.rows("residuals")
        if row["role"] == "result" and (row["warned"] or 0) > 0
    ]
    if warned:
        text = f"Residuals of the result above {WARN:g}: {', '.join(warned)} of trials."
        found.append(Alarm("warning", text))
    return found


def limits(told: Told, rules: list[str], stage: str, refused: list[Row]) -> list[str]:
    """What the study does not show, by what was run."""
    words = {row["verdict"] for row in told.rows("pairs")}
    faulty = any(row["role"] == "legacy" for row in told.rows("legacy"))
    conditional = {
        "That the rules are equal to the last digit: “equal” is within the margin, which was set "
        "before; the interval says how large a difference may still be.": "equal" in words,
        "Anything where the verdict is “undecided”: the interval reaches over the margin, and more "
        "seeds or test samples would be needed.": "undecided" in words,
        "That a difference between TEP and BP comes from the rule: the models differ. The rule "
        "alone is told by TEP against RBP.": "rbp" in rules,
        "How much of a difference between TEP and BP is due to the model and how much to the rule: "
        "the exact gradient of TEP’s model was not run.": "rbp" not in rules,
        "How the original’s own program does: the faults were rebuilt in a block reduced to what "
        "it computes at sequence length 1, on narrow trials of another search space.": faulty,
        "Why the original’s TEP stays near half: its faults were not run.": not faulty,
        f"How {', '.join(str(rule(r['rule'])) for r in refused)} compares: trials are missing or "
        "failed.": bool(refused),
        "How trials that were stopped early would have ended: only those of the last rung are "
        "results.": stage != "search",
    }
    return [
        "Anything beyond one small task and one split of it: intervals are over seeds and test "
        "samples, not over tasks or training sets. No ranking of rules over tasks is drawn.",
        "That TEP needs no backward pass in hardware, or what it costs there: all rules ran as "
        "matrix products on one kind of machine.",
        "Deep networks: there is one recurrent layer, and one hidden layer for BP. With few "
        "samples width soon gains nothing.",
        "That the best possible configuration was found for either rule: the search is as wide as "
        "its ranges and as deep as its trials. “Best” is the expected best of so many.",
        *(sentence for sentence, holds in conditional.items() if holds),
        "A speed-up of one rule over another: rules are different computations, and the cost of "
        "one beside the other is its price.",
    ]


def say(told: Told) -> Said:
    """Findings, alarms, tables, limits and facts of the chapter."""
    robust = told.rows("robustness")
    rules = [row["rule"] for row in robust]
    stage = robust[0]["stage"] if robust else "search"
    refused = [row for row in robust if row["reason"]]
    passed = gate(told)
    facts = {
        "rules": {id: about for id, about in RULES.items() if not rules or id in rules},
        "scope": top_of(told.rows("pairs")), "price": price(told),
        "scale": scale(told), "gate": passed, "warn": WARN, "near": NEAR, "repair": repair(told),
        "faulty": [row for row in told.rows("legacy") if row["role"] == "legacy"],
        "bias": bias_told(told), "survivors": stage if stage != "search" else "",
    }  # fmt: skip
    return Said(
        findings(told), alarms(told, passed, refused), all_tables(told, rules),
        limits(told, rules, stage, refused), facts,
    )  # fmt: skip
