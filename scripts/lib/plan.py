"""What `measure` runs, from the section `measure` of a study's configuration."""

from collections.abc import Callable


def measurement_plan(
    measure: dict,
    rounds_of: Callable[[dict], list],
    job_of: Callable[[str, dict], dict],
) -> list[dict]:
    """Workloads with the units of their rounds, the warm-up first, and the contestants in turn.

    `rounds_of(workload)` has the units of each round, none if the workload is switched off;
    `job_of(arm, workload)` is the specification of the arm's job, without units.
    """

    def contestant(name: str, workload: dict) -> dict:
        entry = measure["contestants"][name]
        return {
            "contestant": name,
            "arm": entry["arm"],
            "workers": measure["workers"] if entry.get("parallel") else 1,
            "threads": entry.get("threads", 1),
            "spec": job_of(entry["arm"], workload),
        }

    return [
        {
            "workload": name,
            "where": workload.get("where", ""),
            "trace_memory": workload.get("trace_memory", False),
            "rounds": rounds_of(workload),
            "contestants": [contestant(c, workload) for c in workload["contestants"]],
        }
        for name, workload in measure["workloads"].items()
    ]
