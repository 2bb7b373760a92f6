"""Every value of the configuration made wrong in turn: one sentence, or a reason to accept it."""

import re
import signal
from collections import Counter
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest
from snakemake.exceptions import WorkflowError

from tests.rule_files import STUDIES, read, shipped

HANGS = 5  # seconds after which planning counts as endless
GONE = object()
# Mappings whose keys are names of the user's.
NAMED = re.compile(r"\b(arms|sources|tasks|contestants|workloads)\.[A-Za-z0-9_]+")
Place = tuple[str | int, ...]
OTHER = ("next", "large", "huge", "fraction", "zero", "integral", "negative")
RATES = "lr|adam_eps|weight_decay|ability_scale|clip|lr_factor|dropout|mmd_gamma|ks_alpha"
RATES += "|spectral_cap|omega|mu|tol|damping|beta|attn1|attn2|leaf|validation"
# Why a mutant is a configuration like any other: (mutations, places).
REASONS = {
    "margin or expected band": (
        OTHER,
        r"^arms\.\w+\.claim\.\w+\.\w+$|^gate\.|^band\.|^repeats\.margin$",
    ),
    "number of pairs": (OTHER, r"min_pairs$"),
    "all of the study": (("empty text",), r"^measure\.workloads\.\w+\.where$"),
    "device of all studies": (("null", "removed"), r"^device$"),
    "seed": (OTHER, r"split_seed$"),
    "seconds of a measurement": (OTHER, r"budget_s$"),
    "rate, strength or share": (OTHER, rf"({RATES}|(betas|lr|beta|weight_decay|shares)\.\d)$"),
    "size within its bounds": (
        ("next", "large", "zero", "huge"),
        r"(reps|block|noise_dim|hidden|hidden_layers|m|batch|(max_)?epochs|patience|restart|runs"
        r"|test_draws|draws_per_point|early_draws|early_steps|adapters|rank|shard|matrices|eta|top"
        r"|seeds|steps|\w+_steps|workers|threads|students|questions|categories|folds|accumulate"
        r"|\w+_dim|memory_size|iterations|free|nudged|elements|trials|strata|widest|samples|bits|rounds|rerounded"
        r"|(sizes|lengths|hidden|batch|epochs|ranks)\.\d+)$",
    ),
    "label": (
        ("misspelt", "numeric text", "a letter more", "with a space"),
        r"\.label$|^report\.title$|^arms\.\w+\.(about|repair|package)$",
    ),
    "left out": (
        ("null",),
        r"\.(run|options|model|train)\.\w+$|^arms\.\w+\.\w+$|\.contestants$"
        r"|^measure\.workloads\.\w+\.\w+$|^solvers\.\w+\.tol$",
    ),
    "switch": (
        ("bool", "switched"),
        r"(train|contestants|workloads)\.|keep_tensors$|run\.compared$|options\.antithetic$",
    ),
    "entry less": (("removed",), r"\.\d+$"),
    "entry of names less": (
        ("removed",),
        r"^(measure\.(workloads|contestants)|sources|tasks|arms|comparison)\.\w+$|^arms\.\w+\.(claim|run|options|train|model)$",
    ),
    "default in place of it": (
        ("removed", "empty mapping"),
        r"^(arms|measure\.(workloads|contestants))\.\w+\.\w+|^tasks\.\w+\.samples$"
        r"|^solvers\.\w+\.tol$|^repeats\.rerounded$|^comparison$|^band\.task$",
    ),
    "test not asked for": (
        ("removed", "empty mapping", "empty list"),
        r"^arms\.\w+\.claim\.(accurate|close|at_most|equivalent|not_worse|not_better|reported)"
        r"|^summary\.|^curves\.",
    ),
    "nothing known, nothing limited": (
        ("null", "removed", "empty mapping"),
        r"^band|^report\.only",
    ),
}


def leaves(node: Any, at: Place = ()) -> Iterator[tuple[Place, Any]]:
    """Every value below a node with its place, mappings and lists too."""
    for key, part in node.items() if isinstance(node, dict) else enumerate(node):
        yield (*at, key), part
        if isinstance(part, dict | list):
            yield from leaves(part, (*at, key))


def mutations(value: Any) -> dict[str, Any]:
    """Wrong values for a value, by what is wrong with them."""
    found = {"null": None, "removed": GONE, "bool": True, "empty text": "", "misspelt": "nosuch"}
    found |= {"empty list": [], "empty mapping": {}, "list of it": [value]}
    found |= {"mapping": {"nosuch": 1}, "numeric text": "1e-4"}
    found |= {"huge": 10**9, "NaN": float("nan"), "endless": float("inf"), "negative": -1}
    found |= {"zero": 0, "fraction": 0.5, "endless whole": 10**30}
    if isinstance(value, bool):
        found |= {"switched": not value, "text of it": str(value)}
    elif isinstance(value, int | float):
        found |= {"integral": float(round(value)), "text of it": str(value), "next": value + 1}
        found |= {"large": value * 1000}
    elif isinstance(value, str):
        found |= {"a letter more": f"{value}x", "with a space": f"{value} x", "line": f"{value}\n"}
    elif isinstance(value, dict):
        found |= {"key more": value | {"nosuch": 1}, "key of no text": value | {True: 1}}
    else:
        found |= {"entry more": [*value, "nosuch"], "entry twice": [*value, *value[:1]]}
        found |= {"null in it": [*value, None]}
    return {
        name: wrong
        for name, wrong in found.items()
        if type(wrong) is not type(value) or wrong != value
    }


def mutants(each: int) -> Iterator[tuple[str, str, Place, Any]]:
    """(study, mutation, place, wrong value), `each` to a place, in turn.

    Names of arms and the like are one kind of place: its first value has three times as many.
    """
    for study in STUDIES:
        seen: Counter[str] = Counter()
        for place, value in leaves({study: shipped()[study]}):
            dotted = ".".join(map(str, place))
            kind = re.sub(r"\.\d+(?=\.|$)", ".0", NAMED.sub(r"\1.*", dotted))
            found = [
                (name, wrong)
                for name, wrong in mutations(value).items()
                # A study's own file is always read: its section cannot be away.
                if len(place) > 1 or wrong is not GONE
            ]
            count = each if seen[kind] else 3 * each
            first = 7 * len(seen) + 3 * seen[kind]
            seen[kind] += 1
            for number in range(min(count, len(found))):
                name, wrong = found[(first + number) % len(found)]
                yield study, name, place, wrong


def mutated(config: dict, place: Place, wrong: Any) -> dict:
    """The configuration with one value changed, which must not be shared with another place."""
    config = deepcopy(config)
    node = config
    for key in place[:-1]:
        node[key] = deepcopy(node[key])  # anchors of YAML name one mapping twice
        node = node[key]
    if wrong is GONE:
        del node[place[-1]]
    else:
        node[place[-1]] = wrong
    return config


def verdict(config: dict, *studies: str) -> str:
    """The sentence with which a configuration is refused, or "" if it is planned."""

    def too_long(signal_number, frame):
        raise TimeoutError(f"not planned in {HANGS} s")

    signal.signal(signal.SIGALRM, too_long)
    signal.alarm(HANGS)
    try:
        read(config, *studies)
    except WorkflowError as error:
        return str(error)
    finally:
        signal.alarm(0)
    return ""


def fault_of(sentence: str, study: str) -> str:
    """What is wrong with a sentence, or ""."""
    if "\n" in sentence:
        return "more than a line"
    if not sentence.startswith(f"Config: {study}") or not sentence.endswith("."):
        return "no place or no end"
    sentence = re.sub(r"'[^']*'", "x", sentence)  # the user's own words
    if re.search(r"one of: \.|\^|\\|\[\.\.|{'|None|True|False|  ", sentence):
        return "written by a machine"
    return ""


def explained(name: str, place: Place, wrong: Any) -> str:
    """Why a mutant may be planned, or ""."""
    dotted = ".".join(str(part) for part in place[1:])
    return next(
        (why for why, (names, at) in REASONS.items() if name in names and re.search(at, dotted)), ""
    )


def trial(each: int) -> tuple[Counter[str], list[str]]:
    """Mutants by what became of them, and those that nothing explains."""
    outcome: Counter[str] = Counter()
    faults = []
    # The spine reads studies of two stages in any case.
    shared = {key: shipped()[key] for key in ("seed", "pathvars", "engression")}
    for study, name, place, wrong in mutants(each):
        config = shared | {"studies": [study], study: shipped()[study]}
        told = f"{name} at {'.'.join(map(str, place))}"
        try:
            sentence = verdict(mutated(config, place, wrong), study)
        except Exception as error:
            faults.append(f"{told}: {type(error).__name__}: {error}")
            continue
        why = "refused" if sentence else explained(name, place, wrong)
        if not why:
            faults.append(f"{told}: accepted")
        elif fault := sentence and fault_of(sentence, study):
            faults.append(f"{told}: {fault}: {sentence}")
        outcome[why] += 1
    return outcome, faults


def assert_all_explained(each: int) -> None:
    outcome, faults = trial(each)
    print("", *(f"{count:6} {why}" for why, count in outcome.most_common()), sep="\n")
    assert not faults, "\n".join([f"{len(faults)} mutants:", *faults[:40]])


def test_a_wrong_value_is_one_sentence_or_has_a_reason():
    assert_all_explained(each=1)


def test_a_wrong_root_is_one_sentence_or_has_a_reason():
    root = {key: shipped()[key] for key in ("seed", "studies", "pathvars")}
    for place, value in leaves(root):
        for name, wrong in mutations(value).items():
            sentence = verdict(mutated(shipped(), place, wrong))
            told = f"{name} at {'.'.join(map(str, place))}: {sentence}"
            reason = (place[-1] == "seed" and name in OTHER) or (
                place[-1] == "results" and name in ("misspelt", "a letter more", "numeric text")
            )
            fewer = place[0] == "studies" and name == "removed" and len(place) > 1
            assert reason or fewer or sentence, told
            assert not (sentence and fault_of(sentence, "")), told


@pytest.mark.slow
def test_six_times_as_many_wrong_values_are_no_worse():
    assert_all_explained(each=6)
