"""Deep-GPCM: fetch, load -> features (folds) -> train, baseline -> tables.

Makes <results>/deep_gpcm/{fetched,data,folds,numba,units,runs,histories,losses,predictions,estimates,tables};
announces its run files, measurement and chapter.
"""

from scripts.deep_gpcm import jobs as gpcm_jobs
from scripts.deep_gpcm.check import check_deep_gpcm
from scripts.deep_gpcm.data.sources import fingerprint as gpcm_fingerprint


configfile: "config/deep_gpcm.yaml"


GPCM = config["deep_gpcm"]
# Also where the study is switched off: its rules are read in any case.
try:
    check_deep_gpcm(GPCM)
except ConfigError as error:
    raise WorkflowError(str(error)) from None
# {(arm, data, block): specification of its training job}, {(arm, data): that of a baseline's}
GPCM_JOBS, GPCM_BASELINES = {}, {}
AXES["deep_gpcm"] = gpcm_jobs.AXES
METRICS["deep_gpcm"], PHASES["deep_gpcm"] = gpcm_jobs.METRICS, gpcm_jobs.PHASES


if "deep_gpcm" in STUDIES:
    try:
        for name in gpcm_jobs.active(GPCM):
            gpcm_fingerprint(GPCM["sources"][name])
    except LoadError as error:
        raise WorkflowError(str(error)) from None
    GPCM_JOBS = gpcm_jobs.training_jobs(GPCM, config["seed"])
    GPCM_BASELINES = gpcm_jobs.baseline_jobs(GPCM, config["seed"])
    RUNS["deep_gpcm"] = gpcm_jobs.files("runs", GPCM_JOBS, GPCM_BASELINES)
    MEASURED["deep_gpcm"] = {
        "data": gpcm_jobs.data_files(GPCM, gpcm_jobs.measured_data(GPCM)),
        "kernel": "<results>/deep_gpcm/numba",
        "script": "scripts/deep_gpcm/measured.py",
        "plan": partial(
            measurement_plan,
            GPCM["measure"],
            partial(gpcm_jobs.rounds, GPCM),
            partial(gpcm_jobs.measured_job, GPCM, config["seed"]),
        ),
    }
    CHAPTERS["deep_gpcm"] = [
        *expand("<results>/deep_gpcm/tables/{table}.csv", table=gpcm_jobs.CHAPTER),
        "<results>/deep_gpcm/tables/figures.json",
    ]


wildcard_constraints:
    data="[A-Za-z0-9_]+",
    table="[a-z0-9_]+",


rule deep_gpcm_fetch:
    """A table of graded answers from a pinned package; no registry in reach is one sentence."""
    output:
        table="<results>/deep_gpcm/fetched/{table}.pt",
    log:
        "<results>/deep_gpcm/logs/fetch/{table}.log",
    conda:
        "../envs/isospeed.yaml"
    params:
        *stamps("scripts/deep_gpcm/fetch.py"),
        spec=lambda w: canonical({"table": w.table}),
    shell:
        "python -m scripts.deep_gpcm.fetch --job {params.job:q} --output {output.table:q}"
        " 2> >(tee {log:q} >&2)"


rule deep_gpcm_load:
    """Answers, students and items of one data set; a fault is one sentence and no file."""
    input:
        fetched=lambda w: expand(
            "<results>/deep_gpcm/fetched/{table}.pt",
            table=[s["table"] for s in [GPCM["sources"][w.data]] if s["kind"] == "irtorch"],
        ),
    output:
        interactions="<results>/deep_gpcm/data/{data}/interactions.parquet",
        students="<results>/deep_gpcm/data/{data}/students.parquet",
        item_table="<results>/deep_gpcm/data/{data}/items.parquet",
    log:
        "<results>/deep_gpcm/logs/load/{data}.log",
    conda:
        "../envs/isospeed.yaml"
    params:
        *stamps("scripts/deep_gpcm/load.py"),
        spec=lambda w: canonical({"source": GPCM["sources"][w.data], "seed": config["seed"]}),
        # Changes with the files that the source is read from.
        read_from=lambda w: gpcm_fingerprint(GPCM["sources"][w.data]),
    shell:
        "python -m scripts.deep_gpcm.load --job {params.job:q} --fetched {input.fetched:q}"
        " --interactions {output.interactions:q} --students {output.students:q}"
        " --items {output.item_table:q} 2> >(tee {log:q} >&2)"


rule deep_gpcm_features:
    """Which students train, validate and test in each fold; a file per fold."""
    input:
        interactions="<results>/deep_gpcm/data/{data}/interactions.parquet",
        students="<results>/deep_gpcm/data/{data}/students.parquet",
    output:
        folds=[
            f"<results>/deep_gpcm/folds/{{data}}/{fold}.parquet"
            for fold in range(gpcm_jobs.fold_count(GPCM))
        ],
    log:
        "<results>/deep_gpcm/logs/features/{data}.log",
    conda:
        "../envs/isospeed.yaml"
    params:
        *stamps("scripts/deep_gpcm/folds.py"),
        spec=lambda w: canonical(
            {"seed": config["seed"], "data": w.data}
            | {key: GPCM[key] for key in ("folds", "validation")}
        ),
    shell:
        "python -m scripts.deep_gpcm.folds --job {params.job:q}"
        " --interactions {input.interactions:q} --students {input.students:q}"
        " --folds {output.folds:q} 2> >(tee {log:q} >&2)"


rule deep_gpcm_kernel:
    """Compile the memory kernel once for all jobs."""
    output:
        compiled=directory("<results>/deep_gpcm/numba"),
    log:
        "<results>/deep_gpcm/logs/kernel.log",
    conda:
        "../envs/isospeed.yaml"
    params:
        *stamps("scripts/deep_gpcm/kernel.py"),
        # Another processor is another code, which may sum in another order.
        spec=canonical({"instruction_set": INSTRUCTIONS}),
    shell:
        "python -m scripts.deep_gpcm.kernel --job {params.job:q} --compiled {output.compiled:q}"
        " 2> {log:q}"


rule deep_gpcm_train:
    """Train some folds of one data set by one arm and predict their test students."""
    input:
        folds=lambda w: [
            f"<results>/deep_gpcm/folds/{w.data}/{fold}.parquet"
            for _, fold in GPCM_JOBS[w.arm, w.data, int(w.block)]["units"]
        ],
        item_table="<results>/deep_gpcm/data/{data}/items.parquet",
        kernel="<results>/deep_gpcm/numba",
    output:
        runs="<results>/deep_gpcm/runs/{arm}/{data}-{block}.parquet",
        histories="<results>/deep_gpcm/histories/{arm}/{data}-{block}.parquet",
        losses="<results>/deep_gpcm/losses/{arm}/{data}-{block}.parquet",
        predictions="<results>/deep_gpcm/predictions/{arm}/{data}-{block}.parquet",
        estimates="<results>/deep_gpcm/estimates/{arm}/{data}-{block}.parquet",
    log:
        "<results>/deep_gpcm/logs/train/{arm}/{data}-{block}.log",
    conda:
        "../envs/isospeed.yaml"
    threads: 1
    resources:
        mem_mb=2000,
    params:
        *stamps("scripts/deep_gpcm/train.py"),
        units=f"{RESULTS}/deep_gpcm/units",
        spec=lambda w: canonical(GPCM_JOBS[w.arm, w.data, int(w.block)]),
    shell:
        "NUMBA_CACHE_DIR={input.kernel:q} python -m scripts.deep_gpcm.train"
        " --job {params.job:q} --threads {threads} --folds {input.folds:q}"
        " --items {input.item_table:q} --store {params.units:q} --runs {output.runs:q}"
        " --histories {output.histories:q} --losses {output.losses:q}"
        " --predictions {output.predictions:q} --estimates {output.estimates:q}"
        " 2> >(tee {log:q} >&2)"


rule deep_gpcm_baseline:
    """All folds of one data set by a simple or classical model."""
    input:
        folds=lambda w: [
            f"<results>/deep_gpcm/folds/{w.data}/{fold}.parquet"
            for fold in GPCM_BASELINES[w.arm, w.data]["folds"]
        ],
        item_table="<results>/deep_gpcm/data/{data}/items.parquet",
        students="<results>/deep_gpcm/data/{data}/students.parquet",
    output:
        runs="<results>/deep_gpcm/runs/{arm}/{data}.parquet",
        predictions="<results>/deep_gpcm/predictions/{arm}/{data}.parquet",
        estimates="<results>/deep_gpcm/estimates/{arm}/{data}.parquet",
    log:
        "<results>/deep_gpcm/logs/baseline/{arm}/{data}.log",
    conda:
        "../envs/isospeed.yaml"
    threads: 1
    params:
        *stamps("scripts/deep_gpcm/baseline.py"),
        spec=lambda w: canonical(GPCM_BASELINES[w.arm, w.data]),
    shell:
        "OMP_NUM_THREADS={threads} OPENBLAS_NUM_THREADS={threads}"
        " python -m scripts.deep_gpcm.baseline --job {params.job:q} --threads {threads}"
        " --folds {input.folds:q} --items {input.item_table:q} --students {input.students:q}"
        " --runs {output.runs:q} --predictions {output.predictions:q}"
        " --estimates {output.estimates:q} 2> >(tee {log:q} >&2)"


rule deep_gpcm_tables:
    """Scores, recovery of true parameters, calibration, confusion, convergence, learning curves."""
    input:
        runs="<results>/deep_gpcm/runs.parquet",
        predictions=gpcm_jobs.files("predictions", GPCM_JOBS, GPCM_BASELINES),
        estimates=gpcm_jobs.files("estimates", GPCM_JOBS, GPCM_BASELINES),
        histories=gpcm_jobs.files("histories", GPCM_JOBS, GPCM_BASELINES),
        students=expand(
            "<results>/deep_gpcm/data/{data}/students.parquet", data=gpcm_jobs.active(GPCM)
        ),
        item_tables=expand(
            "<results>/deep_gpcm/data/{data}/items.parquet", data=gpcm_jobs.active(GPCM)
        ),
    output:
        scores="<results>/deep_gpcm/tables/scores.csv",
        recovery="<results>/deep_gpcm/tables/recovery.csv",
        points="<results>/deep_gpcm/tables/points.csv",
        calibration="<results>/deep_gpcm/tables/calibration.csv",
        confusion="<results>/deep_gpcm/tables/confusion.csv",
        convergence="<results>/deep_gpcm/tables/convergence.csv",
        categories="<results>/deep_gpcm/tables/categories.csv",
        learning="<results>/deep_gpcm/tables/learning.csv",
    log:
        "<results>/deep_gpcm/logs/tables.log",
    conda:
        "../envs/isospeed.yaml"
    params:
        *stamps("scripts/deep_gpcm/tables.py"),
        spec=canonical(gpcm_jobs.tables_job(GPCM)),
    shell:
        "python -m scripts.deep_gpcm.tables --job {params.job:q} --runs {input.runs:q}"
        " --predictions {input.predictions:q} --estimates {input.estimates:q}"
        " --histories {input.histories:q} --students {input.students:q}"
        " --items {input.item_tables:q} --scores {output.scores:q} --recovery {output.recovery:q}"
        " --points {output.points:q} --calibration {output.calibration:q}"
        " --confusion {output.confusion:q} --convergence {output.convergence:q}"
        " --categories {output.categories:q} --learning {output.learning:q} 2> {log:q}"


rule deep_gpcm_ladder:
    """Time of a training step by implementation, next to its distance from the reference."""
    input:
        measurements="<results>/deep_gpcm/measurements.parquet",
        agreement="<results>/deep_gpcm/agreement.csv",
        losses=gpcm_jobs.files("losses", GPCM_JOBS, GPCM_BASELINES),
    output:
        ladder="<results>/deep_gpcm/tables/ladder.csv",
    log:
        "<results>/deep_gpcm/logs/ladder.log",
    conda:
        "../envs/isospeed.yaml"
    params:
        *stamps("scripts/deep_gpcm/ladder.py"),
        spec=canonical(gpcm_jobs.ladder_job(GPCM)),
    shell:
        "python -m scripts.deep_gpcm.ladder --job {params.job:q}"
        " --measurements {input.measurements:q} --agreement {input.agreement:q}"
        " --losses {input.losses:q} --ladder {output.ladder:q} 2> {log:q}"


rule deep_gpcm_draw:
    """The chapter's figures from its tables."""
    input:
        scores="<results>/deep_gpcm/tables/scores.csv",
        points="<results>/deep_gpcm/tables/points.csv",
        calibration="<results>/deep_gpcm/tables/calibration.csv",
        confusion="<results>/deep_gpcm/tables/confusion.csv",
        convergence="<results>/deep_gpcm/tables/convergence.csv",
        categories="<results>/deep_gpcm/tables/categories.csv",
        learning="<results>/deep_gpcm/tables/learning.csv",
        ladder="<results>/deep_gpcm/tables/ladder.csv",
    output:
        figures="<results>/deep_gpcm/tables/figures.json",
    log:
        "<results>/deep_gpcm/logs/draw.log",
    conda:
        "../envs/isospeed.yaml"
    params:
        *stamps("scripts/deep_gpcm/draw.py"),
        spec=canonical({}),
    shell:
        "python -m scripts.deep_gpcm.draw --job {params.job:q} --scores {input.scores:q}"
        " --points {input.points:q} --calibration {input.calibration:q}"
        " --confusion {input.confusion:q} --convergence {input.convergence:q}"
        " --categories {input.categories:q} --learning {input.learning:q}"
        " --ladder {input.ladder:q} --figures {output.figures:q} 2> {log:q}"
