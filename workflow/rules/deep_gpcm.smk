"""Deep-GPCM: fetch, load -> folds -> train, baseline -> tables, ladder.

Makes <results>/deep_gpcm/{fetched,data,folds,units,runs,histories,losses,predictions,estimates,tables}.
"""

from scripts.deep_gpcm import jobs as gpcm
from scripts.deep_gpcm.settings import Section


configfile: ours("config/deep_gpcm.yaml")


GPCM = announce("deep_gpcm", Section, gpcm.study)
GPCM_JOBS = gpcm.Jobs(GPCM, ROOT.seed)


wildcard_constraints:
    data="[A-Za-z0-9_]+",
    table="[a-z0-9_]+",


# A second each, and nodes may have no internet: on a cluster they stay where Snakemake runs.
localrules:
    deep_gpcm_fetch,
    deep_gpcm_load,
    deep_gpcm_folds,
    deep_gpcm_tables,
    deep_gpcm_ladder,


rule deep_gpcm_fetch:
    """A table of graded answers from a pinned package; no registry in reach is one sentence."""
    output:
        table="<results>/deep_gpcm/fetched/{table}.pt",
    params:
        spec=lambda w: canonical({"table": w.table}),
    shell:
        call("deep_gpcm.fetch")


rule deep_gpcm_load:
    """Answers, students and items of one data set; a fault is one sentence and no file."""
    input:
        fetched=lambda w: gpcm.fetched(GPCM.sources[w.data]),
    output:
        interactions="<results>/deep_gpcm/data/{data}/interactions.parquet",
        students="<results>/deep_gpcm/data/{data}/students.parquet",
        item_table="<results>/deep_gpcm/data/{data}/items.parquet",
    params:
        code=lambda w: stamps("scripts/deep_gpcm/load.py", only=[GPCM.sources[w.data].kind]),
        spec=lambda w: canonical({"source": GPCM.sources[w.data], "seed": ROOT.seed}),
        # Changes with the files that the answers are read from.
        read_from=lambda w: gpcm.fingerprint(GPCM.sources[w.data]),
    shell:
        call("deep_gpcm.load")


rule deep_gpcm_folds:
    """Which students train, validate and test in each fold; a file per fold."""
    input:
        interactions="<results>/deep_gpcm/data/{data}/interactions.parquet",
        students="<results>/deep_gpcm/data/{data}/students.parquet",
    output:
        folds=[f"<results>/deep_gpcm/folds/{{data}}/{k}.parquet" for k in range(GPCM.fold_count)],
    params:
        spec=lambda w: canonical(GPCM_JOBS.folds(w.data)),
    shell:
        call("deep_gpcm.folds")


rule deep_gpcm_train:
    """Train some folds of one data set by one arm; finished folds survive a kill."""
    input:
        folds=lambda w: GPCM_JOBS.fold_files(GPCM_JOBS.training[w.arm, w.data, int(w.block)]),
        item_table="<results>/deep_gpcm/data/{data}/items.parquet",
        kernel=lambda w: GPCM_JOBS.kernel(w.arm),
    output:
        runs="<results>/deep_gpcm/runs/{arm}/{data}-{block}.parquet",
        histories="<results>/deep_gpcm/histories/{arm}/{data}-{block}.parquet",
        losses="<results>/deep_gpcm/losses/{arm}/{data}-{block}.parquet",
        predictions="<results>/deep_gpcm/predictions/{arm}/{data}-{block}.parquet",
        estimates="<results>/deep_gpcm/estimates/{arm}/{data}-{block}.parquet",
    resources:
        mem_mb=2000,
        runtime=60,
        gpu=lambda w: gpus(GPCM_JOBS.training[w.arm, w.data, int(w.block)]),
    params:
        code=lambda w: stamps("scripts/deep_gpcm/train.py", only=GPCM_JOBS.choices(w.arm)),
        spec=lambda w: canonical(GPCM_JOBS.training[w.arm, w.data, int(w.block)]),
    shell:
        call("deep_gpcm.train", "NUMBA_CACHE_DIR={input.kernel:q}")


rule deep_gpcm_baseline:
    """All folds of one data set by a simple or classical model."""
    input:
        folds=lambda w: GPCM_JOBS.fold_files(GPCM_JOBS.baselines[w.arm, w.data]),
        item_table="<results>/deep_gpcm/data/{data}/items.parquet",
        students="<results>/deep_gpcm/data/{data}/students.parquet",
    output:
        runs="<results>/deep_gpcm/runs/{arm}/{data}.parquet",
        predictions="<results>/deep_gpcm/predictions/{arm}/{data}.parquet",
        estimates="<results>/deep_gpcm/estimates/{arm}/{data}.parquet",
    resources:
        mem_mb=1500,
        runtime=60,
    params:
        code=lambda w: stamps("scripts/deep_gpcm/baseline.py", only=GPCM_JOBS.choices(w.arm)),
        spec=lambda w: canonical(GPCM_JOBS.baselines[w.arm, w.data]),
    shell:
        call("deep_gpcm.baseline")


rule deep_gpcm_tables:
    """Scores, recovery of true parameters, calibration, confusion, convergence, learning curves."""
    input:
        runs="<results>/deep_gpcm/runs.parquet",
        predictions=GPCM_JOBS.files("predictions"),
        estimates=GPCM_JOBS.files("estimates"),
        histories=GPCM_JOBS.files("histories"),
        students=expand("<results>/deep_gpcm/data/{data}/students.parquet", data=GPCM.active),
        item_tables=expand("<results>/deep_gpcm/data/{data}/items.parquet", data=GPCM.active),
    output:
        written=expand("<results>/deep_gpcm/tables/{table}.csv", table=gpcm.TABLES),
    params:
        spec=canonical(GPCM_JOBS.tables()),
    shell:
        call("deep_gpcm.tables")


rule deep_gpcm_ladder:
    """Time of a training step by implementation, next to its distance from the reference."""
    input:
        measurements="<results>/deep_gpcm/measurements.parquet",
        agreement="<results>/deep_gpcm/agreement.csv",
        losses=GPCM_JOBS.files("losses"),
    output:
        ladder="<results>/deep_gpcm/tables/ladder.csv",
    params:
        spec=canonical(GPCM_JOBS.ladder()),
    shell:
        call("deep_gpcm.ladder")
