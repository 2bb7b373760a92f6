"""Which trials each arm trains in which job, and all that the job of each needs to know.

Also what is measured, and which tables there are. A job is a block of trials of one rule by one
arm; paths begin with <results>, which Snakemake fills in.
"""

from scripts.lib.code import device_of
from scripts.lib.contract import Study
from scripts.lib.packages import package_of
from scripts.lib.plan import UnitLabels, measurement_plan
from scripts.tep_bp.checks import check_section
from scripts.tep_bp.data.sources import fingerprint
from scripts.tep_bp.plans.stages import (
    FOLDER,
    SHARED,
    block_name,
    blocks,
    repeat_stage,
    run_file,
    search_stages,
)
from scripts.tep_bp.settings import Section, TepWorkload
from scripts.tep_bp.specs import (
    AXES,
    GATED,
    METRICS,
    NO_SOLVER,
    PHASES,
    STUDY,
    ClassifiersJob,
    Compared,
    ExportJob,
    GateJob,
    GradientJob,
    MeasuredJob,
    PlanRows,
    TablesJob,
    TrainJob,
    TrialsJob,
)

UNIT = f"scripts/{STUDY}/unit.py"  # declares the implementations
# Tables of the chapter, and those of which figures are drawn.
TABLES = (
    *("anytime", "budgets", "robustness", "distribution", "importances", "heat", "repeats"),
    *("pairs", "choice", "legacy", "by_batch", "residuals", "widths", "bias", "economy", "sanity"),
)
BESIDE = ("reading", "classifiers")  # of the task alone
DRAWN = ("anytime", "distribution", "heat", "repeats", "legacy", "residuals", "widths", "bias")


def tables(names: tuple[str, ...]) -> list[str]:
    """Files of these tables."""
    return [f"{FOLDER}/tables/{name}.csv" for name in names]


def trials_job(section: Section, seed: int, arm: str, rule: str) -> TrialsJob:
    """What an arm does with trials of a rule, without saying which."""
    options = section.arms[arm]
    solver = NO_SOLVER if rule == "bp" or options.solver is None else options.solver
    if solver == GATED and rule != "tep":
        solver = "plain"  # the gate says nothing about other rules
    names = {NO_SOLVER: [], GATED: ["plain", "economy"]}.get(solver, [solver])
    return TrialsJob(
        study=STUDY,
        arm=arm,
        seed=seed,
        units=[],
        package=package_of(section, arm),
        device=device_of(section.device_asked(arm), UNIT, options.implementation),
        rule=rule,
        implementation=options.implementation,
        train=section.training(options),
        solver=solver,
        solvers={name: getattr(section.solvers, name) for name in names},
        faults=options.faults,
        mistake=options.mistake,
        parts=["train"],
        held="val",
        max_stack_elements=section.max_stack_elements,
    )


def jobs(section: Section, seed: int) -> dict[tuple[str, str], TrainJob]:
    """Every training job by (arm, block)."""
    found = {}
    for arm in section.arms:
        make = _search_jobs if arm == section.result else _sample_jobs
        found |= make(section, seed, arm)
    return found


def _search_jobs(section: Section, seed: int, arm: str) -> dict[tuple[str, str], TrainJob]:
    search, again, found = section.search, section.repeats, {}
    for rule in search.rules:
        common = trials_job(section, seed, arm, rule)
        for stage, epochs, trials in search_stages(section):
            train = common.train.model_copy(update={"epochs": epochs})
            for number, (start, count) in enumerate(blocks(trials, search.block)):
                # A round's block is a plan of its own; the trials promoted to a rung share one.
                whole = stage in ("search", "rung0")
                plan = f"{rule}-{stage}" if not whole else f"search-{number:03d}"
                if search.mode == "rounds" and number:
                    plan = f"{rule}-{number:03d}"
                rows = PlanRows(plan=plan, start=0 if whole else start, count=count, widest=None)
                found[arm, block_name(rule, stage, number)] = _of(
                    common, stage=stage, rows=rows, train=train
                )
        for rounding in range(again.rerounded + 1):
            stage = repeat_stage(rounding)
            train = common.train.model_copy(update={"watch": False, "rerounded": rounding})
            for number, (start, count) in enumerate(blocks(again.top * again.seeds, again.block)):
                rows = PlanRows(plan=f"{rule}-repeat", start=start, count=count, widest=None)
                found[arm, block_name(rule, stage, number)] = _of(
                    common, stage=stage, rows=rows, train=train, parts=["train", "val"], held="test"
                )
    return found


def _of(common: TrialsJob, **changes: object) -> TrainJob:
    return TrainJob.model_validate(dict(common) | changes)


def sample_blocks(section: Section, arm: str) -> list[tuple[int, int]]:
    """(first, count) of the jobs of an arm that trains a sample."""
    run = section.arms[arm].run
    return blocks(run.trials or 0, run.block or section.search.block)


def _sample_jobs(section: Section, seed: int, arm: str) -> dict[tuple[str, str], TrainJob]:
    widest = section.arms[arm].run.widest
    return {
        (arm, block_name(rule, "search", number)): _of(
            trials_job(section, seed, arm, rule),
            stage="search",
            rows=PlanRows(plan=SHARED, start=start, count=count, widest=widest),
        )
        for rule in section.rules_of(arm)
        for number, (start, count) in enumerate(sample_blocks(section, arm))
    }


def gate_job(section: Section) -> GateJob:
    """Whose runs the gate compares, and what they have to show."""
    gate, solvers, changes = section.gate, section.solvers, {"watch": False}
    compared = []
    for exact, economy in section.compared:
        train = section.training(section.arms[exact]).model_copy(
            update=changes | {"epochs": gate.epochs}
        )
        compared.append(Compared(exact=exact, economy=economy, train=train))
    return GateJob(gate=gate, plain=solvers.plain, economy=solvers.economy, compared=compared)


def gate_reads(section: Section) -> list[str]:
    """Run files of the arms that the gate compares; none unless all have trials."""
    arms = [arm for pair in section.compared for arm in pair]
    if not all(map(section.trains_tep, arms)):
        return []
    return [
        run_file(arm, block_name("tep", "search", number))
        for arm in arms
        for number, _ in enumerate(sample_blocks(section, arm))
    ]


def gradient_job(section: Section, seed: int) -> GradientJob:
    """The network on which the gradient's error is shown, and the nudges."""
    train = section.train.model_dump() | {"epochs": section.gradient.epochs}
    solver = section.solvers.plain
    return GradientJob(gradient=section.gradient, train=train, solver=solver, seed=seed)


def tables_job(section: Section, seed: int) -> TablesJob:
    """Whom the tables are about."""
    stage, _, trials = search_stages(section)[-1]
    return TablesJob(
        arm=section.result,
        rules=section.search.rules,
        original=_of_the_block(section),
        proof=section.with_role("truth", "control"),
        stage=stage,
        trials=trials,
        repeats=section.repeats.seeds,
        rerounded=section.repeats.rerounded,
        margin=section.repeats.margin,
        top=section.repeats.top,
        space=section.space,
        seed=seed,
        band=section.expected,
    )


def _of_the_block(section: Section) -> list[str]:
    """Arms that train the original's block and rule; what it proposes for ours is none of them."""
    arms = section.arms.items()
    return [n for n, a in arms if a.implementation == "legacy" and section.rules_of(n)]


def classifiers_job(section: Section, seed: int) -> ClassifiersJob:
    """The classifiers that stand beside the rules."""
    return ClassifiersJob(classifiers=section.classifiers, seed=seed)


def export_job(section: Section) -> ExportJob:
    """Whose trials an Optuna storage has."""
    stage, rules = search_stages(section)[-1][0], section.search.rules
    return ExportJob(arm=section.result, rules=rules, stage=stage, space=section.space)


def measured_units(section: Section, workload: TepWorkload, number: int) -> list[UnitLabels]:
    """Units [hidden, batch, round, number] of a measured round.

    A unit is a trial; every width and batch size has as many, `trials` of the workload.
    """
    space = section.space
    strata = [[hidden, batch] for hidden in space.hidden for batch in space.batch]
    wanted = min(workload.strata or len(strata), len(strata))
    # Spread over the space where not all are wanted.
    chosen = [strata[(2 * i + 1) * len(strata) // (2 * wanted)] for i in range(wanted)]
    return [[*stratum, number, trial] for stratum in chosen for trial in range(workload.trials)]


def measured_job(section: Section, seed: int, arm: str, workload: TepWorkload) -> MeasuredJob:
    """An arm's job in a measured workload."""
    common = trials_job(section, seed, arm, workload.rule)
    own = {"train": common.train.model_copy(update={"epochs": workload.epochs})}
    own |= {"device": "cpu"} if workload.work == "loading" else {}
    return MeasuredJob(
        **dict(common) | own,
        work=workload.work,
        task=workload.task or section.task,
        space=section.space,
        trials=workload.trials,
    )


def measured_tasks(section: Section) -> list[str]:
    """Names of the tasks that workloads read."""
    active = [load for load in section.measure.workloads.values() if load.rounds]
    return list(dict.fromkeys(load.task or section.task for load in active))


def kernel_of(job: TrialsJob) -> list[str]:
    """The folder of compiled code, where a job needs it."""
    return [f"{FOLDER}/numba"] if job.implementation in ("fused", "wrong") else []


def gate_of(job: TrialsJob) -> list[str]:
    """What the gate found, where a job waits for it."""
    return [f"{FOLDER}/gate.json"] if job.solver == GATED else []


def task_file(name: str) -> str:
    """The file of a task."""
    return f"{FOLDER}/tasks/{name}.npz"


def study(section: Section, seed: int, active: bool) -> Study:
    """The study as the spine knows it; what is planned only if it is `active`.

    Raises ConfigError, and LoadError where a file of a task is missing.
    """
    check_section(section)
    # The stage `search` is that of the arms that train a sample, whatever the mode.
    again = [repeat_stage(rounding) for rounding in range(section.repeats.rerounded + 1)]
    all_stages = dict.fromkeys(["search", *(s[0] for s in search_stages(section)), *again])
    values = {"stage": list(all_stages), "rule": section.search.rules}
    known = Study(STUDY, section, AXES, METRICS, PHASES, values)
    if not active:
        return known
    for name in (section.task, *measured_tasks(section)):
        fingerprint(section.tasks[name])
    return Study(
        **vars(known)
        | {
            "runs": [run_file(*job) for job in jobs(section, seed)],
            "data": {
                "tasks": [task_file(name) for name in measured_tasks(section)],
                "gate": [f"{FOLDER}/gate.json"] if section.gated else [],
            },
            "script": f"scripts/{STUDY}/measured.py",
            "plan": lambda: measurement_plan(
                section,
                lambda workload, number: measured_units(section, workload, number),
                lambda arm, workload: measured_job(section, seed, arm, workload),
            ),
            "kernel": f"{FOLDER}/numba",
            "drawn": {"tables": tables(DRAWN)},
            "chapter": [*tables((*TABLES, *BESIDE)), f"{FOLDER}/tables/figures.json"],
        }
    )
