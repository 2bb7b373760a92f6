"""The stages of the search, their blocks and the plans that they train: known beforehand."""

from itertools import pairwise
from typing import NamedTuple

from scripts.lib.blocks import cut
from scripts.tep_bp.settings import Search, Section
from scripts.tep_bp.specs import STUDY, Ask, Promote, ProposeJob, Repeat, Sample

FOLDER = f"<results>/{STUDY}"
SHARED = "search-000"  # the plan from which sampled arms take their trials
Stage = tuple[str, int, int]  # name, epochs, trials of each rule


def blocks(n: int, size: int) -> list[tuple[int, int]]:
    """(first, count) of the jobs that share n trials; appended trials move none."""
    return [(part[0], len(part)) for part in cut(range(n), size)]


def stages(search: Search, epochs: int) -> list[Stage]:
    """The stages of the result arm's search, in order; the last one is the result."""
    if search.mode != "halving":
        return [("search", epochs, search.trials)]
    of_rungs = rungs(search.trials, search.halving.epochs, search.halving.eta)
    return [(f"rung{i}", *rung) for i, rung in enumerate(of_rungs)]


def rungs(n: int, epochs: list[int], eta: int) -> list[tuple[int, int]]:
    """(epochs, trials) of each rung of halving, e.g. (3, 300), (10, 100), (30, 34)."""
    trained = []
    for count in epochs:
        trained.append((count, n))
        n = kept(n, eta)
    return trained


def kept(n: int, eta: int) -> int:
    """ceil(n / eta): how many of n trials are promoted."""
    return -(-n // eta)


def repeat_stage(rounding: int) -> str:
    """Stage of the repeats, or of those from re-rounded weights."""
    return f"repeat-{rounding}" if rounding else "repeat"


def block_name(rule: str, stage: str, number: int) -> str:
    """Name of a job's run file."""
    return f"{rule}-{number:03d}" if stage == "search" else f"{rule}-{stage}-{number:03d}"


class Plan(NamedTuple):
    """How a plan is made, and the run files that it is made from."""

    job: ProposeJob
    reads: list[str]


def run_file(arm: str, block: str) -> str:
    """The run file of a job."""
    return f"{FOLDER}/runs/{arm}/{block}.parquet"


def search_stages(section: Section) -> list[Stage]:
    """Stages of the result arm's search; the trials of the last one are ranked."""
    return stages(section.search, section.train.epochs)


def runs_of(section: Section, rule: str, stage: str, blocks_before: int | None = None) -> list[str]:
    """Run files of the result arm: of one rule and stage, or only its first blocks."""
    trials = next(n for name, _, n in search_stages(section) if name == stage)
    numbers = range(len(blocks(trials, section.search.block)))[:blocks_before]
    return [run_file(section.result, block_name(rule, stage, number)) for number in numbers]


def plans(section: Section, seed: int) -> dict[str, Plan]:
    """Every plan by name."""
    search, again, space, found = section.search, section.repeats, section.space, {}
    for number, (start, count) in enumerate(blocks(search.trials, search.block)):
        found[f"search-{number:03d}"] = _plan(
            Sample(way="sample", space=space, sampler=search.sampler, start=start,
                   end=start + count, seed=seed)
        )  # fmt: skip
        for rule in search.rules if search.mode == "rounds" and number else ():
            found[f"{rule}-{number:03d}"] = _plan(
                Ask(way="ask", space=space, rule=rule, round=number, n=count, seed=seed),
                runs_of(section, rule, "search", number),
            )
    steps = search_stages(section)
    for (before, *_), (stage, _, keep) in pairwise(steps):
        for rule in search.rules:
            reads = runs_of(section, rule, before)
            found[f"{rule}-{stage}"] = _plan(Promote(way="promote", keep=keep), reads)
    for rule in search.rules if again.top else ():
        best = Repeat(
            way="repeat", space=space, rule=rule, top=again.top, seeds=again.seeds, seed=seed
        )
        found[f"{rule}-repeat"] = _plan(best, runs_of(section, rule, steps[-1][0]))
    return found


def _plan(how: Sample | Ask | Promote | Repeat, reads: list[str] | None = None) -> Plan:
    return Plan(ProposeJob(plan=how), reads or [])
