"""What a study does not show, from its own tables: sentences for the end of its chapter."""

from collections.abc import Mapping, Sequence
from typing import Any

from scripts.lib.page_study import Told
from scripts.lib.page_tables import Row
from scripts.spine.proofs import gaps, listed

FEW_ROUNDS = 3  # below which a bootstrap interval says little


def limits(
    told: Told, twins: Sequence[Row], costs: Sequence[Row], cells: Sequence[dict[str, Row]],
    contended: bool, sources: Mapping[str, Any],
) -> list[str]:  # fmt: skip
    """The limits of a study's agreement, arms, rounds, units and machine."""
    return [
        *_untested(told, twins),
        *_not_run(told, costs),
        *_rounds(told, costs),
        *_units(cells),
        *_machine(told, costs, contended, sources),
    ]


def _untested(told: Told, twins: Sequence[Row]) -> list[str]:
    found = []
    for arm in dict.fromkeys(row["arm"] for row in twins):
        rows = [row for row in twins if row["arm"] == arm]
        if without := [row for row in rows if not row["twin"]]:
            none = [f"none at {a} = {listed(v)}" for a, v in gaps(rows, told.axes[:-1]).items()]
            where = f" ({'; '.join(none)})" if none else ""
            found.append(
                f"{told.name(arm)}: agreement was not tested in {len(without)} of its {len(rows)} "
                f"cells{where}."
            )
    if found:
        found.append(
            "The measured workloads may lie in cells where agreement was not tested; the table of "
            "measurements does not record their cells."
        )
    return found


def _not_run(told: Told, costs: Sequence[Row]) -> list[str]:
    claiming = [arm["name"] for arm in told.about if arm.get("claims")]
    measured = dict.fromkeys(row["arm"] for row in costs)
    unrun = [str(told.name(arm)) for arm in claiming if arm not in told.ran]
    only = [str(told.name(arm)) for arm in measured if arm not in told.ran]
    found = [f"Arms of the configuration that were not run: {listed(unrun)}."] if unrun else []
    if only:
        found.append(
            f"Arms whose cost was measured but whose results were not computed: {listed(only)}."
        )
    return found


def _rounds(told: Told, costs: Sequence[Row]) -> list[str]:
    """Workloads by their rounds; too few are said to be."""
    rounds: dict[int, list[str]] = {}
    most: dict[str, int] = {}
    for row in costs:
        most[row["workload"]] = max(row["rounds"], most.get(row["workload"], 0))
    for workload, count in most.items():
        rounds.setdefault(count, []).append(str(told.workload(workload)))
    return [
        f"Measured in {count} round{'' if count == 1 else 's'}"
        f"{', too few for a bootstrap interval to mean much' if count < FEW_ROUNDS else ''}: "
        f"{listed(names)}."
        for count, names in sorted(rounds.items())
    ]


def _units(cells: Sequence[dict[str, Row]]) -> list[str]:
    counts = [row["units"] for cell in cells for row in list(cell.values())[:1] if row["units"]]
    if not counts:
        return []
    least, most = min(counts), max(counts)
    extent = f"{least}" if least == most else f"{least} to {most}"
    return [
        f"A cell of the results has {extent} units; its standard deviations and MCSE are "
        "themselves estimates from so many."
    ]


def exceeding(costs: Sequence[Row]) -> list[Row]:
    """Contestants that used more CPU time than their threads could: others ran in theirs."""
    return [
        row
        for row in costs
        if not row.get("tensor_peak_mb")
        and row["cpu_s"] > 1.05 * row["fit_s"] * row["workers"] * row["threads"] + 0.005
    ]


def _machine(
    told: Told, costs: Sequence[Row], contended: bool, sources: Mapping[str, Any]
) -> list[str]:
    found = []
    if rows := exceeding(costs):
        names = [
            f"{told.name(row['contestant'])} ({told.workload(row['workload'])})" for row in rows
        ]
        found.append(
            f"CPU time exceeds what the threads could use during training in {listed(names)}. "
            "Other threads were running; do not trust ratios of CPU time there."
        )
    if contended:
        found.append("The machine was contended while measuring.")
    if sources["measurements.parquet"].get("node_is_shared"):
        found.append(
            "The measurement was not alone on its node of the cluster: do not trust its times."
        )
    kinds = sources["runs.parquet"].get("processors") or []
    if len({kind["instruction_set"] for kind in kinds}) > 1:
        names = [
            f"{kind['processor']} (instructions {kind['instruction_set']}, {kind['files']} of the "
            "run files)"
            for kind in kinds
        ]
        found.append(
            f"The rows come from several kinds of processor, whose last bits differ: "
            f"{listed(names)}. The claim “identical” is tested only between rows of one kind."
        )
    return found
