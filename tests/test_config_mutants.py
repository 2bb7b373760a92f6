"""Every value of the configuration made wrong in turn: one sentence, or a reason to accept it."""

import re
import signal
from collections import Counter
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest
from snakemake.exceptions import WorkflowError

from tests.parsed import STUDIES, read, shipped

HANGS = 5  # seconds after which planning counts as endless
GONE = object()
# Mappings whose keys are names of the user's.
NAMED = re.compile(r"\b(arms|run|sources|tasks|contestants|workloads)\.[A-Za-z0-9_]+")
Place = tuple[str | int, ...]


def leaves(node: Any, at: Place = ()) -> Iterator[tuple[Place, Any]]:
    """Every value below a node with its place, mappings and lists too."""
    for key, part in node.items() if isinstance(node, dict) else enumerate(node):
        yield (*at, key), part
        if isinstance(part, dict | list):
            yield from leaves(part, (*at, key))


def mutations(value: Any) -> dict[str, Any]:
    """Wrong values for a value, by what is wrong with them."""
    found = {
        "null": None,
        "removed": GONE,
        "bool": True,
        "empty text": "",
        "mapping": {"nosuch": 1},
    }
    found |= {"empty list": [], "empty mapping": {}, "list of it": [value], "misspelt": "nosuch"}
    found |= {"huge": 10**9, "NaN": float("nan"), "endless": float("inf"), "negative": -1}
    found |= {"zero": 0, "fraction": 0.5, "endless whole": 10**30, "numeric text": "1e-4"}
    if isinstance(value, bool):
        found |= {"switched": not value, "text of it": str(value)}
    elif isinstance(value, int | float):
        found |= {"integral": float(round(value)), "text of it": str(value), "next": value + 1}
        found |= {"large": value * 1000}
    elif isinstance(value, str):
        found |= {
            "a letter more": value + "x",
            "with a space": f"{value} x",
            "padded": f"{value}\n",
        }
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


def mutants() -> Iterator[tuple[str, str, Place, Any]]:
    """(study, mutation, place, wrong value): all mutations of the first value of each kind of place,
    one in turn of the others."""
    for study in STUDIES:
        seen: Counter[str] = Counter()
        for place, value in leaves({study: shipped()[study]}):
            dotted = ".".join(map(str, place))
            kind = re.sub(r"\.\d+(?=\.|$)", ".0", NAMED.sub(r"\1.*", dotted))
            found = list(mutations(value).items())
            if seen[kind]:
                found = [found[(7 * seen[kind]) % len(found)]]
            seen[kind] += 1
            for name, wrong in found:
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


def verdict(config: dict, study: str) -> str:
    """The sentence with which a configuration is refused, or "" if it is planned."""

    def too_long(signal_number, frame):
        raise TimeoutError(f"not planned in {HANGS} s")

    signal.signal(signal.SIGALRM, too_long)
    signal.alarm(HANGS)
    try:
        read(config, study)
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
    sentence = re.sub(r"'[^']*'", "", sentence)  # the user's own words
    if re.search(r"one of: \.|\^|\\|\[\.\.|{'|None|True|False|  ", sentence):
        return "written by a machine"
    return ""


if __name__ == "__main__":
    import time

    outcome = Counter()
    t0 = time.time()
    for study, name, place, wrong in mutants():
        config = {k: v for k, v in shipped().items() if k in (study, "seed", "pathvars")} | {
            "studies": [study]
        }
        try:
            s = verdict(mutated(config, place, wrong), study)
        except Exception as e:
            outcome["CRASH"] += 1
            print("CRASH", name, place, repr(wrong)[:60], type(e).__name__, e)
            continue
        if not s:
            outcome["accepted"] += 1
            print("ACC", name, ".".join(map(str, place)), repr(wrong)[:50])
        elif f := fault_of(s, study):
            outcome["BAD"] += 1
            print("BAD", f, s)
        else:
            outcome["refused"] += 1
    print(outcome, time.time() - t0)
