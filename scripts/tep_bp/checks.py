"""What of the section must go together, beyond what its models say."""

from scripts.lib.config import JOBS, check_idle, check_member, check_order, check_size, differing
from scripts.lib.contract import check_rounds
from scripts.lib.faults import ConfigError
from scripts.tep_bp.plans.stages import stages
from scripts.tep_bp.settings import Run, Section, TepArm, TepWorkload
from scripts.tep_bp.specs import STUDY

TRAININGS = 100_000  # of repeats: rows of one plan
LOADER = ("workers", "persistent")  # options of a DataLoader, which the reference alone has


def check_section(section: Section) -> None:
    """Raise ConfigError with one sentence for the first fault of the section."""
    check_member(section.task, section.tasks, f"{STUDY}.task")
    check_member(section.band.task, section.tasks, f"{STUDY}.band.task")
    check_order(section.search.halving.epochs, f"{STUDY}.search.halving.epochs", strictly=True)
    _check_search(section)
    for name, solver in section.solvers:
        if solver.tol is not None and (solver.omega, solver.mu) != (1, 0):
            raise ConfigError(
                f"Config: {STUDY}.solvers.{name} has a tol, which needs omega 1 and mu 0."
            )
    for name, arm in section.arms.items():
        _check_arm(f"{STUDY}.arms.{name}", arm, section)
        _check_run(f"{STUDY}.arms.{name}.run", name, arm.run, section)
    for name, workload in section.measure.workloads.items():
        _check_workload(f"{STUDY}.measure.workloads.{name}", workload, section)
    if section.gated:
        _check_gate(section)


def _check_search(section: Section) -> None:
    search, again = section.search, section.repeats
    of_search = stages(search, section.train.epochs)
    last, _, trials = of_search[-1]
    if again.top > trials:
        raise ConfigError(
            f"Config: {STUDY}.repeats.top is {again.top}, but {last} has {trials} trials of each "
            "rule to choose from."
        )
    trainings, rules = again.top * again.seeds, len(search.rules) * (again.rerounded + 1)
    where, remedy = f"{STUDY}.repeats", "ask for fewer or use larger blocks"
    check_size(trainings, TRAININGS, "trainings of each rule", where, "ask for fewer")
    check_size(-(-trainings // again.block) * rules, JOBS, "jobs", where, remedy)
    jobs = sum(-(-count // search.block) for _, _, count in of_search)
    check_size(jobs * len(search.rules), JOBS, "jobs", f"{STUDY}.search.trials", remedy)
    if search.mode == "rounds" and search.trials % search.block:
        raise ConfigError(
            f"Config: {STUDY}.search.trials is {search.trials}; in rounds it must be a multiple "
            f"of search.block, {search.block}."
        )


def _check_arm(where: str, arm: TepArm, section: Section) -> None:
    method = arm.implementation
    legacy = method == "legacy"
    if legacy == (arm.faults is None) or legacy != (arm.solver is None):
        raise ConfigError(
            f"Config: {where}: the implementation legacy takes faults and no solver, others the "
            "reverse."
        )
    if (method == "wrong") != (arm.mistake is not None):
        raise ConfigError(
            f"Config: {where}: the implementation wrong, and it alone, has a mistake."
        )
    if arm.solver is not None:
        check_member(arm.solver, [*type(section.solvers).model_fields, "gated"], f"{where}.solver")
    train = section.training(arm)
    for key, only in (("difference", "centred"), ("proposal", "none"), ("precision", "single")):
        if method != "reference" and getattr(train, key) != only:
            raise ConfigError(
                f"Config: {where}.train.{key} is {getattr(train, key)}; the implementation "
                f"{method} has only {only}, reference has all."
            )
    _check_loader(where, arm, section)
    solver = getattr(section.solvers, arm.solver or "", None)
    if method != "reference" and solver is not None and solver.tol is not None:
        raise ConfigError(
            f"Config: {where}.solver is {arm.solver}, which has a tol; only the implementation "
            "reference stops at one."
        )


def _check_loader(where: str, arm: TepArm, section: Section) -> None:
    """Only the reference has a DataLoader, and only processes that there are can be kept."""
    train = section.training(arm)
    if arm.implementation != "reference":
        changes = differing(arm.train, section.train)
        read = changes.keys() - set(LOADER)
        check_idle(changes, read, f"{where}.train", f"with the implementation {arm.implementation}")
    elif train.persistent and not train.workers:
        raise ConfigError(
            f"Config: {where} keeps the processes of its DataLoader and has none; set "
            "train.workers, or train.persistent to false."
        )


def _check_run(where: str, name: str, run: Run, section: Section) -> None:
    is_result = name == section.result
    if is_result == (run.trials is not None) or (is_result and run != Run()):
        remedy = "takes no keys: it trains the search" if is_result else "needs the key trials"
        raise ConfigError(f"Config: {where} {remedy}.")
    shared = min(section.search.trials, section.search.block)
    if (run.trials or 0) > shared:
        raise ConfigError(
            f"Config: {where}.trials is {run.trials}; the first block of the search has {shared}."
        )
    if not run.trials:
        return
    rules = run.rules or section.search.rules
    for rule in rules:
        check_member(rule, section.search.rules, f"{where}.rules")
    proposal = section.training(section.arms[name]).proposal
    if proposal != "none" and rules != ["tep"]:
        raise ConfigError(
            f"Config: {where}.rules must be [tep]: {proposal} is proposed for its free phase."
        )


def _check_workload(where: str, workload: TepWorkload, section: Section) -> None:
    check_member(workload.task or section.task, section.tasks, f"{where}.task")
    strata = len(section.space.hidden) * len(section.space.batch)
    check_rounds(where, workload, min(strata, workload.strata or strata) * workload.trials)


def _check_gate(section: Section) -> None:
    gate = section.gate
    if len(gate.again) == 1:
        raise ConfigError(
            f"Config: {STUDY}.gate.again is {gate.again}; name two arms, the exact one first, or "
            "none."
        )
    named = {"exact": gate.exact, "economy": gate.economy}
    named |= {f"again[{place}]": arm for place, arm in enumerate(gate.again)}
    for key, arm in named.items():
        check_member(arm, section.arms, f"{STUDY}.gate.{key}")
        if not section.trains_tep(arm):
            raise ConfigError(
                f"Config: {STUDY}.gate.{key} is {arm}, which trains no trial of tep; give it some "
                f"in {STUDY}.arms.{arm}.run."
            )
