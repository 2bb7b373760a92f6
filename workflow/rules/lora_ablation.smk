"""LoRA weight-space ablation: load (shards) -> index, features (families) -> train -> tables.

Makes <results>/lora_ablation/{tensors,index,features,runs,histories,predictions,units,tables};
announces its run files, measurement and chapter.
"""

from scripts.lora_ablation import jobs as lora_jobs
from scripts.lora_ablation.check import check_lora_ablation, check_shards
from scripts.lora_ablation.data.sources import count
from scripts.lora_ablation.data.split import enough


configfile: "config/lora_ablation.yaml"


LORA = config["lora_ablation"]
# Also where the study is switched off: its rules are read in any case.
try:
    check_lora_ablation(LORA)
except ConfigError as error:
    raise WorkflowError(str(error)) from None
# {shard: specification of its load job}, {(arm, cells): specification of its training job}
LORA_SHARDS, LORA_JOBS = {}, {}
AXES["lora_ablation"] = lora_jobs.AXES
METRICS["lora_ablation"], PHASES["lora_ablation"] = lora_jobs.METRICS, lora_jobs.PHASES


if "lora_ablation" in STUDIES:
    try:
        adapters = enough(count(LORA["sources"][LORA["source"]]))
        check_shards(LORA, adapters)
        LORA_SHARDS = lora_jobs.load_jobs(LORA, config["seed"], adapters)
    except (ConfigError, LoadError) as error:
        raise WorkflowError(str(error)) from None
    LORA_JOBS = lora_jobs.training_jobs(LORA, config["seed"])
    RUNS["lora_ablation"] = [
        f"<results>/lora_ablation/runs/{arm}/{cells}.parquet" for arm, cells in LORA_JOBS
    ] + [f"<results>/lora_ablation/runs/{arm}/prepare.parquet" for arm in LORA["prepare"]["arms"]]
    MEASURED["lora_ablation"] = {
        "data": [
            "<results>/lora_ablation/nested",
            "<results>/lora_ablation/index.parquet",
            f"<results>/lora_ablation/tensors/{next(iter(LORA_SHARDS))}.json",
            *expand(
                "<results>/lora_ablation/features/{family}/{shard}.parquet",
                family=lora_jobs.measured_families(LORA),
                shard=LORA_SHARDS,
            ),
        ],
        "script": "scripts/lora_ablation/measured.py",
        "plan": partial(
            measurement_plan,
            LORA["measure"],
            lora_jobs.rounds,
            partial(lora_jobs.measured_job, LORA, config["seed"]),
        ),
    }
    CHAPTERS["lora_ablation"] = [
        *expand(
            "<results>/lora_ablation/tables/{table}.csv",
            table=["grid", "drops", "classes", "curve", "complete", "repairs", "stages", "svd"],
        ),
        "<results>/lora_ablation/tables/figures.json",
    ]


wildcard_constraints:
    shard=r"adapters-\d+-\d+",
    family="[a-z]+",
    cells=r"[a-z_]+-\d+",


rule lora_ablation_load:
    """Read one shard of adapters into the tensor store; a fault is one sentence and no file."""
    output:
        tensors=(
            "<results>/lora_ablation/tensors/{shard}.npy"
            if LORA["keep_tensors"]
            else temp("<results>/lora_ablation/tensors/{shard}.npy")
        ),
        layout="<results>/lora_ablation/tensors/{shard}.json",
        index="<results>/lora_ablation/index/{shard}.parquet",
    log:
        "<results>/lora_ablation/logs/load/{shard}.log",
    conda:
        "../envs/isospeed.yaml"
    resources:
        mem_mb=1500,
    params:
        *stamps("scripts/lora_ablation/load.py"),
        spec=lambda w: canonical(LORA_SHARDS[w.shard]),
    shell:
        "python -m scripts.lora_ablation.load --job {params.job:q}"
        " --tensors {output.tensors:q} --layout {output.layout:q} --index {output.index:q} 2> {log:q}"


rule lora_ablation_index:
    """Labels and split of all adapters; shards must agree on their tensors."""
    input:
        indexes=expand("<results>/lora_ablation/index/{shard}.parquet", shard=LORA_SHARDS),
        layouts=expand("<results>/lora_ablation/tensors/{shard}.json", shard=LORA_SHARDS),
    output:
        index="<results>/lora_ablation/index.parquet",
    log:
        "<results>/lora_ablation/logs/index.log",
    conda:
        "../envs/isospeed.yaml"
    params:
        *stamps("scripts/lora_ablation/index.py"),
        spec=canonical({"split": {"kind": LORA["split"]}}),
    shell:
        "python -m scripts.lora_ablation.index --job {params.job:q} --indexes {input.indexes:q}"
        " --layouts {input.layouts:q} --index {output.index:q} 2> {log:q}"


rule lora_ablation_features:
    """One family of numbers on one shard; an edit of a family recomputes that family."""
    input:
        tensors="<results>/lora_ablation/tensors/{shard}.npy",
        layout="<results>/lora_ablation/tensors/{shard}.json",
        index="<results>/lora_ablation/index/{shard}.parquet",
    output:
        features="<results>/lora_ablation/features/{family}/{shard}.parquet",
    log:
        "<results>/lora_ablation/logs/features/{family}/{shard}.log",
    # Before the next load, so that few shards wait on disk.
    priority: 1
    conda:
        "../envs/isospeed.yaml"
    threads: 1
    resources:
        mem_mb=1500,
    params:
        # The family is imported by name, so it is stamped by its own path.
        code=lambda w: stamps(
            "scripts/lora_ablation/features.py",
            f"scripts/lora_ablation/representations/{w.family}.py",
        ),
        spec=lambda w: canonical(lora_jobs.family_job(w.family)),
    shell:
        "python -m scripts.lora_ablation.features --job {params.job:q}"
        " --tensors {input.tensors:q} --layout {input.layout:q} --index {input.index:q}"
        " --features {output.features:q} 2> {log:q}"


rule lora_ablation_train:
    """All runs of some cells of one representation by one arm; finished runs survive a kill."""
    input:
        layout=lambda w: f"<results>/lora_ablation/tensors/{next(iter(LORA_SHARDS))}.json",
        index="<results>/lora_ablation/index.parquet",
        features=lambda w: expand(
            lora_jobs.feature_files(LORA_JOBS[w.arm, w.cells]), shard=LORA_SHARDS
        ),
    output:
        runs="<results>/lora_ablation/runs/{arm}/{cells}.parquet",
        histories="<results>/lora_ablation/histories/{arm}/{cells}.parquet",
        predictions="<results>/lora_ablation/predictions/{arm}/{cells}.parquet",
    log:
        "<results>/lora_ablation/logs/train/{arm}/{cells}.log",
    conda:
        "../envs/isospeed.yaml"
    threads: 1
    resources:
        mem_mb=2000,
    params:
        *stamps("scripts/lora_ablation/train.py"),
        spec=lambda w: canonical(LORA_JOBS[w.arm, w.cells]),
        units=f"{RESULTS}/lora_ablation/units",
    shell:
        "python -m scripts.lora_ablation.train --job {params.job:q} --threads {threads}"
        " --layout {input.layout:q} --index {input.index:q} --features {input.features:q}"
        " --store {params.units:q} --runs {output.runs:q} --histories {output.histories:q}"
        " --predictions {output.predictions:q} 2> >(tee {log:q} >&2)"


rule lora_ablation_prepare:
    """Load and featurise a few generated adapters by one arm, to compare it with the reference."""
    output:
        runs="<results>/lora_ablation/runs/{arm}/prepare.parquet",
    log:
        "<results>/lora_ablation/logs/prepare/{arm}.log",
    conda:
        "../envs/isospeed.yaml"
    threads: 1
    params:
        *stamps("scripts/lora_ablation/prepare.py"),
        spec=lambda w: canonical(lora_jobs.prepare_job(LORA, config["seed"], w.arm)),
    shell:
        "python -m scripts.lora_ablation.prepare --job {params.job:q} --threads {threads}"
        " --runs {output.runs:q} 2> {log:q}"


rule lora_ablation_nested:
    """A data set as the authors save theirs, for the measurement of loading."""
    output:
        dataset=directory("<results>/lora_ablation/nested"),
    log:
        "<results>/lora_ablation/logs/nested.log",
    conda:
        "../envs/isospeed.yaml"
    params:
        *stamps("scripts/lora_ablation/nested.py"),
        spec=canonical(
            {
                "seed": config["seed"],
                "source": lora_jobs.generated(lora_jobs.nested_adapters(LORA)),
            }
        ),
    shell:
        "python -m scripts.lora_ablation.nested --job {params.job:q}"
        " --dataset {output.dataset:q} 2> {log:q}"


rule lora_ablation_tables:
    """Accuracies with test-set intervals, drops, classes, learning curves, completeness."""
    input:
        runs="<results>/lora_ablation/runs.parquet",
        predictions=expand(
            "<results>/lora_ablation/predictions/{cells}.parquet",
            cells=[f"{arm}/{cells}" for arm, cells in LORA_JOBS if arm == LORA["report"]["arm"]],
        ),
    output:
        grid="<results>/lora_ablation/tables/grid.csv",
        drops="<results>/lora_ablation/tables/drops.csv",
        classes="<results>/lora_ablation/tables/classes.csv",
        curve="<results>/lora_ablation/tables/curve.csv",
        complete="<results>/lora_ablation/tables/complete.csv",
    log:
        "<results>/lora_ablation/logs/tables.log",
    conda:
        "../envs/isospeed.yaml"
    params:
        *stamps("scripts/lora_ablation/tables.py"),
        spec=canonical(
            {
                "arm": LORA["report"]["arm"],
                "expected": lora_jobs.expected(LORA),
                "seed": config["seed"],
                "confidence": 0.95,
                "draws": 10_000,
            }
        ),
    shell:
        "python -m scripts.lora_ablation.tables --job {params.job:q} --runs {input.runs:q}"
        " --predictions {input.predictions:q} --grid {output.grid:q} --drops {output.drops:q}"
        " --classes {output.classes:q} --curve {output.curve:q} --complete {output.complete:q}"
        " 2> {log:q}"


rule lora_ablation_costs:
    """Costs per adapter with a model of larger data sets, repairs and SVD ways side by side."""
    input:
        runs="<results>/lora_ablation/runs.parquet",
        measurements="<results>/lora_ablation/measurements.parquet",
    output:
        stages="<results>/lora_ablation/tables/stages.csv",
        svd="<results>/lora_ablation/tables/svd.csv",
        repairs="<results>/lora_ablation/tables/repairs.csv",
    log:
        "<results>/lora_ablation/logs/costs.log",
    conda:
        "../envs/isospeed.yaml"
    params:
        *stamps("scripts/lora_ablation/costs.py"),
        spec=canonical(lora_jobs.costs_job(LORA)),
    shell:
        "python -m scripts.lora_ablation.costs --job {params.job:q} --runs {input.runs:q}"
        " --measurements {input.measurements:q} --stages {output.stages:q} --svd {output.svd:q}"
        " --repairs {output.repairs:q} 2> {log:q}"


rule lora_ablation_draw:
    """The chapter's figures from its tables."""
    input:
        grid="<results>/lora_ablation/tables/grid.csv",
        drops="<results>/lora_ablation/tables/drops.csv",
        classes="<results>/lora_ablation/tables/classes.csv",
        curve="<results>/lora_ablation/tables/curve.csv",
    output:
        figures="<results>/lora_ablation/tables/figures.json",
    log:
        "<results>/lora_ablation/logs/draw.log",
    conda:
        "../envs/isospeed.yaml"
    params:
        *stamps("scripts/lora_ablation/draw.py"),
        spec=canonical({}),
    shell:
        "python -m scripts.lora_ablation.draw --job {params.job:q} --grid {input.grid:q}"
        " --drops {input.drops:q} --classes {input.classes:q} --curve {input.curve:q}"
        " --figures {output.figures:q} 2> {log:q}"
