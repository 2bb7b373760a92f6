"""Which trials each arm trains in which job, and all that the job of each needs to know.

Also what is measured, and which tables there are. A job is a block of trials of one rule by one
arm; paths begin with <results>, which Snakemake fills in.
"""

from itertools import pairwise

from scripts.lib.blocks import cut
from scripts.lib.seeds import seed63, stream

FOLDER = "<results>/tep_bp"
# Tables of the chapter, and those of which figures are drawn.
TABLES = (
    *("anytime", "budgets", "robustness", "distribution", "importances", "heat", "repeats"),
    *("pairs", "legacy", "by_batch", "residuals", "widths", "bias", "economy", "sanity"),
)
DRAWN = ("anytime", "distribution", "heat", "repeats", "legacy", "residuals", "widths", "bias")
SHARED = "search-000"  # the plan from which sampled arms take their trials


def result_stage(config: dict) -> str:
    """The stage whose trials are ranked: the search, or the last rung of halving."""
    return stages(config)[-1][0]


def blocks(n: int, size: int) -> list[tuple[int, int]]:
    """(first, count) of the jobs that share n trials; appended trials move none."""
    return [(part[0], len(part)) for part in cut(range(n), size)]


def stages(config: dict) -> list[tuple[str, int, int]]:
    """(stage, epochs, trials) of the result arm's search, in order."""
    search, epochs = config["search"], config["train"]["epochs"]
    if search["mode"] != "halving":
        return [("search", epochs, search["trials"])]
    of_rungs = rungs(search["trials"], search["halving"]["epochs"], search["halving"]["eta"])
    return [(f"rung{i}", *rung) for i, rung in enumerate(of_rungs)]


def kept(n: int, eta: int) -> int:
    """ceil(n / eta): how many of n trials are promoted."""
    return -(-n // eta)


def rungs(n: int, epochs: list[int], eta: int) -> list[tuple[int, int]]:
    """(epochs, trials) of each rung, e.g. (3, 300), (10, 100), (30, 34)."""
    trained = []
    for count in epochs:
        trained.append((count, n))
        n = kept(n, eta)
    return trained


def block_name(rule: str, stage: str, number: int) -> str:
    """Name of a job's run file."""
    return f"{rule}-{number:03d}" if stage == "search" else f"{rule}-{stage}-{number:03d}"


def runs_of(config: dict, rule: str, stage: str, blocks_before: int | None = None) -> list[str]:
    """Run files of the result arm: of one rule and stage, or only its first blocks."""
    trials = next(n for name, _, n in stages(config) if name == stage)
    names = range(len(blocks(trials, config["search"]["block"])))[:blocks_before]
    arm = config["report"]["arm"]
    return [f"{FOLDER}/runs/{arm}/{block_name(rule, stage, k)}.parquet" for k in names]


def plans(config: dict, seed: int) -> dict[str, dict]:
    """Specification of each plan, by name; `reads` has the run files that it is made from."""
    search, specs = config["search"], {}
    common = {"space": config["space"], "seed": seed}
    for number, (start, count) in enumerate(blocks(search["trials"], search["block"])):
        sampled = {"way": "sample", "sampler": search["sampler"], "start": start}
        specs[f"search-{number:03d}"] = common | sampled | {"end": start + count, "reads": []}
        for rule in search["rules"] if search["mode"] == "rounds" and number else ():
            asked = {"way": "ask", "rule": rule, "round": number, "n": count}
            reads = runs_of(config, rule, "search", number)
            specs[f"{rule}-{number:03d}"] = common | asked | {"reads": reads}
    steps = stages(config)
    for (before, *_), (stage, _, keep) in pairwise(steps):
        for rule in search["rules"]:
            reads = runs_of(config, rule, before)
            specs[f"{rule}-{stage}"] = {"way": "promote", "keep": keep, "reads": reads}
    again = {"top": config["repeats"]["top"], "seeds": config["repeats"]["seeds"], "seed": seed}
    for rule in search["rules"] if again["top"] else ():
        reads = runs_of(config, rule, result_stage(config))
        specs[f"{rule}-repeat"] = {"way": "repeat", **again, "reads": reads}
    return specs


def training_job(config: dict, seed: int, arm: str, rule: str) -> dict:
    """What an arm does with trials of a rule, without saying which."""
    options = config["arms"][arm]
    job = {"arm": arm, "rule": rule, "seed": seed, "trainer": options["trainer"]}
    job["train"] = config["train"] | {"watch": True} | options.get("train", {})
    job["solver_name"] = "none" if rule == "bp" else options.get("solver", "none")
    if job["solver_name"] == "gated" and rule != "tep":
        job["solver_name"] = "plain"  # the gate says nothing about other rules
    job["solvers"] = {} if job["solver_name"] == "none" else config["solvers"]
    job["faults"] = options.get("faults")
    return job | {"elements": config["elements"], "parts": ["train"], "held": "val"}


def jobs(config: dict, seed: int) -> dict[tuple[str, str], dict]:
    """Specification of each training job by (arm, block)."""
    specs = {}
    for arm in config["run"]:
        if arm == config["report"]["arm"]:
            specs |= _search_jobs(config, seed, arm)
        else:
            specs |= _sample_jobs(config, seed, arm)
    return specs


def _search_jobs(config: dict, seed: int, arm: str) -> dict[tuple[str, str], dict]:
    search, again, specs = config["search"], config["repeats"], {}
    for rule in search["rules"]:
        common = training_job(config, seed, arm, rule) | {"widest": None}
        for stage, epochs, trials in stages(config):
            train = common["train"] | {"epochs": epochs}
            for number, (start, count) in enumerate(blocks(trials, search["block"])):
                # A round's block is a plan of its own; the trials promoted to a rung share one.
                whole = stage in ("search", "rung0")
                plan = f"{rule}-{stage}" if not whole else f"search-{number:03d}"
                if search["mode"] == "rounds" and number:
                    plan = f"{rule}-{number:03d}"
                block = {"stage": stage, "plan": plan, "start": 0 if whole else start}
                name = block_name(rule, stage, number)
                specs[arm, name] = common | block | {"count": count, "train": train}
        repeat = {"stage": "repeat", "plan": f"{rule}-repeat", "parts": ["train", "val"]}
        repeat |= {"held": "test", "train": common["train"] | {"watch": False}}
        for number, (start, count) in enumerate(
            blocks(again["top"] * again["seeds"], again["block"])
        ):
            name = block_name(rule, "repeat", number)
            specs[arm, name] = common | repeat | {"start": start, "count": count}
    return specs


def sample_blocks(config: dict, arm: str) -> list[tuple[int, int]]:
    """(first, count) of the jobs of an arm that trains a sample."""
    chosen = config["run"][arm]
    return blocks(chosen["trials"], chosen.get("block", config["search"]["block"]))


def _sample_jobs(config: dict, seed: int, arm: str) -> dict[tuple[str, str], dict]:
    chosen = config["run"][arm]
    return {
        (arm, block_name(rule, "search", number)): training_job(config, seed, arm, rule)
        | {"stage": "search", "plan": SHARED, "start": start, "count": count}
        | {"widest": chosen.get("widest")}
        for rule in chosen.get("rules", config["search"]["rules"])
        for number, (start, count) in enumerate(sample_blocks(config, arm))
    }


def gated(config: dict) -> bool:
    """Whether any job waits for the gate of the economy solver."""
    return any(config["arms"][arm].get("solver") == "gated" for arm in config["run"])


def gate_job(config: dict) -> dict:
    """Specification of the gate: whose runs it compares, and what they have to show."""
    return config["gate"] | {key: config[key] for key in ("solvers", "train")}


def trains_tep(config: dict, arm: str) -> bool:
    """Whether an arm that trains a sample has trials of tep."""
    chosen, rules = config["run"].get(arm, {}), config["search"]["rules"]
    return bool(chosen.get("trials")) and "tep" in rules and "tep" in chosen.get("rules", rules)


def gate_reads(config: dict) -> list[str]:
    """Run files of the two arms that the gate compares; none unless both have trials."""
    arms = (config["gate"]["exact"], config["gate"]["economy"])
    if not all(trains_tep(config, arm) for arm in arms):
        return []
    return [
        f"{FOLDER}/runs/{arm}/{block_name('tep', 'search', number)}.parquet"
        for arm in arms
        for number, _ in enumerate(sample_blocks(config, arm))
    ]


def gradient_job(config: dict, seed: int) -> dict:
    """Specification of the gradient's error: the network it is shown on, and the nudges."""
    options = config["gradient"]
    trial = {"rule": "tep", "trial": 0, "seed": seed63(stream(seed, "tep_bp", "gradient"))}
    trial |= {key: options[key] for key in ("hidden", "batch", "lr", "activation", "beta")}
    return {
        "trial": trial | {"weight_decay": 0.0},
        "train": config["train"] | {"epochs": options["epochs"]},
        "solver": config["solvers"]["plain"],
        "betas": options["betas"],
        "steps": options["steps"],
    }


def tables_job(config: dict, seed: int) -> dict:
    """Specification of the tables: whom they are about."""
    legacy = [arm for arm in config["run"] if config["arms"][arm]["trainer"] == "legacy"]
    shown = [arm for arm in legacy if config["run"][arm].get("trials", 1)]
    stage, _, trials = stages(config)[-1]
    return {
        "arm": config["report"]["arm"],
        "reference": config["agreement"]["reference"],
        "rules": config["search"]["rules"],
        "legacy": shown,
        "stage": stage,
        "trials": trials,
        "repeats": config["repeats"]["seeds"],
        "top": config["repeats"]["top"],
        "space": config["space"],
        "band": {name: span for name, span in config["band"].items() if span},
        "seed": seed,
    }


def values(config: dict) -> dict[str, list]:
    """Values of the axes that the configuration fixes beforehand."""
    # The stage `search` is that of the arms that train a sample, whatever the mode.
    all_stages = dict.fromkeys(["search", *(stage for stage, _, _ in stages(config)), "repeat"])
    return {"stage": list(all_stages), "rule": config["search"]["rules"]}


def measured_rounds(config: dict, workload: dict) -> list[list[list]]:
    """Units [hidden, batch, round, number] of each round, the warm-up first; none if no repeats.

    A unit is a trial; every width and batch size has as many, `trials` of the workload.
    """
    space = config["space"]
    strata = [[hidden, batch] for hidden in space["hidden"] for batch in space["batch"]]
    wanted = min(workload.get("strata", len(strata)), len(strata))
    # Spread over the space where not all are wanted.
    chosen = [strata[(2 * i + 1) * len(strata) // (2 * wanted)] for i in range(wanted)]
    counted = range(workload["repeats"] + 1) if workload["repeats"] else ()
    numbers = range(workload["trials"])
    return [
        [[*stratum, round_, number] for stratum in chosen for number in numbers]
        for round_ in counted
    ]


def measured_tasks(config: dict) -> list[str]:
    """Names of the tasks that workloads read."""
    active = [w for w in config["measure"]["workloads"].values() if w["repeats"]]
    return list(dict.fromkeys(workload.get("task", config["task"]) for workload in active))


def measured_data(config: dict) -> list[str]:
    """Files that the measured script reads: tasks, and the gate where an arm waits for it."""
    gate = [f"{FOLDER}/gate.json"] if gated(config) else []
    return [f"{FOLDER}/tasks/{name}.npz" for name in measured_tasks(config)] + gate


def measured_job(config: dict, seed: int, arm: str, workload: dict) -> dict:
    """Specification of an arm's job in a measured workload."""
    job = training_job(config, seed, arm, workload["rule"])
    space = config["space"]
    return job | {
        "work": workload["work"],
        "task": workload.get("task", config["task"]),
        "space": space,
        "trials": workload["trials"],
        "train": job["train"] | {"epochs": workload["epochs"]},
    }
