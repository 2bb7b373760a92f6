"""What config/tep_bp.yaml must hold beyond what its schema says."""

from scripts.lib.config import JOBS, check_config, check_keys, check_member, check_order, check_size
from scripts.lib.contract import check_contract, check_rounds
from scripts.lib.faults import ConfigError
from scripts.tep_bp.data.sources import TASK_KEYS
from scripts.tep_bp.jobs import gated, stages, trains_tep, values
from scripts.tep_bp.names import AXES, METRICS, PHASES
from scripts.tep_bp.plans.space import check_space

HERE = "tep_bp"
TRAININGS = 100_000  # of repeats: rows of one plan


def check_tep_bp(config: dict) -> None:
    """Raise ConfigError with one sentence for the first fault of the section."""
    check_config(config, "tep_bp.schema.yaml", at=HERE)
    arms, search = config["arms"], config["search"]
    check_member(config["task"], config["tasks"], f"{HERE}.task")
    for name, task in config["tasks"].items():
        check_keys(task, TASK_KEYS, f"{HERE}.tasks.{name}")
    check_space(config["space"])
    check_order(search["halving"]["epochs"], f"{HERE}.search.halving.epochs", strictly=True)
    for name, span in config["band"].items():
        check_order(span or [], f"{HERE}.band.{name}")
    _check_sizes(config)
    check_contract(HERE, config, AXES, METRICS, PHASES, values(config))
    if search["mode"] == "rounds" and search["trials"] % search["block"]:
        raise ConfigError(
            f"Config: {HERE}.search.trials is {search['trials']}; in rounds it must be a multiple "
            f"of search.block, {search['block']}."
        )
    for name, solver in config["solvers"].items():
        if "tol" in solver and (solver["omega"], solver["mu"]) != (1, 0):
            raise ConfigError(
                f"Config: {HERE}.solvers.{name} has a tol, which needs omega 1 and mu 0."
            )
    for name, arm in arms.items():
        _check_arm(f"{HERE}.arms.{name}", arm, config)
    for arm, chosen in config["run"].items():
        check_member(arm, arms, f"{HERE}.run: arm")
        _check_sample(f"{HERE}.run.{arm}", arm, chosen, config)
    for name, workload in config["measure"]["workloads"].items():
        where = f"{HERE}.measure.workloads.{name}"
        check_member(workload.get("task", config["task"]), config["tasks"], f"{where}.task")
        strata = len(config["space"]["hidden"]) * len(config["space"]["batch"])
        units = min(strata, workload.get("strata", strata)) * workload["trials"]
        check_rounds(where, workload, units)
    if gated(config):
        _check_gate(config)


def _check_sizes(config: dict) -> None:
    search, again = config["search"], config["repeats"]
    last, _, trials = stages(config)[-1]
    if again["top"] > trials:
        raise ConfigError(
            f"Config: {HERE}.repeats.top is {again['top']}, but {last} has {trials} trials of each "
            "rule to choose from."
        )
    trainings = again["top"] * again["seeds"]
    where, remedy = f"{HERE}.repeats", "ask for fewer or use larger blocks"
    check_size(trainings, TRAININGS, "trainings of each rule", where, "ask for fewer")
    jobs = -(-trainings // again["block"])
    check_size(jobs * len(search["rules"]), JOBS, "jobs", where, remedy)
    jobs = sum(-(-count // search["block"]) for _, _, count in stages(config))
    check_size(jobs * len(search["rules"]), JOBS, "jobs", f"{HERE}.search.trials", remedy)


def _check_arm(where: str, arm: dict, config: dict) -> None:
    legacy = arm["trainer"] == "legacy"
    if legacy != ("faults" in arm) or legacy == ("solver" in arm):
        raise ConfigError(
            f"Config: {where}: the trainer legacy takes faults and no solver, others the reverse."
        )
    if not legacy:
        check_member(arm["solver"], [*config["solvers"], "gated"], f"{where}.solver")
    train = config["train"] | arm.get("train", {})
    for key, only in (("difference", "centred"), ("proposal", "none")):
        if arm["trainer"] != "reference" and train[key] != only:
            raise ConfigError(
                f"Config: {where}.train.{key} is {train[key]}; the trainer {arm['trainer']} has "
                f"only {only}, reference has all."
            )
    if arm["trainer"] != "reference" and "tol" in config["solvers"].get(arm.get("solver"), {}):
        raise ConfigError(
            f"Config: {where}.solver is {arm['solver']}, which has a tol; only the trainer "
            "reference stops at one."
        )


def _check_sample(where: str, arm: str, chosen: dict, config: dict) -> None:
    result = config["report"]["arm"]
    if (arm == result) == ("trials" in chosen) or (arm == result and chosen):
        remedy = "takes no keys: it trains the search" if arm == result else "needs the key trials"
        raise ConfigError(f"Config: {where} {remedy}.")
    shared = min(config["search"]["trials"], config["search"]["block"])
    if chosen.get("trials", 0) > shared:
        raise ConfigError(
            f"Config: {where}.trials is {chosen['trials']}; the first block of the search has "
            f"{shared}."
        )
    if not chosen.get("trials"):
        return
    rules = chosen.get("rules", config["search"]["rules"])
    for rule in rules:
        check_member(rule, config["search"]["rules"], f"{where}.rules")
    proposal = (config["train"] | config["arms"][arm].get("train", {}))["proposal"]
    if proposal != "none" and rules != ["tep"]:
        raise ConfigError(
            f"Config: {where}.rules must be [tep]: {proposal} is proposed for its free phase."
        )


def _check_gate(config: dict) -> None:
    for key in ("exact", "economy"):
        arm = config["gate"][key]
        check_member(arm, config["run"], f"{HERE}.gate.{key}")
        if not trains_tep(config, arm):
            raise ConfigError(
                f"Config: {HERE}.gate.{key} is {arm}, which trains no trial of tep; give it some "
                f"in {HERE}.run."
            )
