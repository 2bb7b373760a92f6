"""LoRA weight-space ablation: load (shards) -> index, features (families) -> train -> tables.

Makes <results>/lora_ablation/{tensors,index,features,runs,histories,predictions,units,tables}.
"""

from scripts.lora_ablation import jobs as lora_jobs
from scripts.lora_ablation.settings import Section


configfile: ours("config/lora_ablation.yaml")


LORA = announce("lora_ablation", Section, lora_jobs.study)
LORA_JOBS = lora_jobs.Jobs(
    LORA, ROOT.seed, plans=workflow.is_main_process, active="lora_ablation" in STUDIES
)
LORA_SHARDS = list(LORA_JOBS.shards) if "lora_ablation" in STUDIES else []


wildcard_constraints:
    shard=r"adapters-\d+-\d+",
    family="[a-z]+",
    cells=r"[a-z_]+-\d+",


# A second each: on a cluster they stay where Snakemake runs.
localrules:
    lora_ablation_index,
    lora_ablation_tables,
    lora_ablation_costs,


rule lora_ablation_load:
    """Read one shard of adapters into the tensor store; a fault is one sentence and no file."""
    output:
        tensors=(
            "<results>/lora_ablation/tensors/{shard}.npy"
            if LORA.keep_tensors
            else temp("<results>/lora_ablation/tensors/{shard}.npy")
        ),
        layout="<results>/lora_ablation/tensors/{shard}.json",
        index="<results>/lora_ablation/index/{shard}.parquet",
    resources:
        mem_mb=1500,
        runtime=60,
    params:
        code=lambda w: stamps("scripts/lora_ablation/load.py", only=[LORA.adapters_from.kind]),
        spec=lambda w: canonical(LORA_JOBS.loads[w.shard]),
    shell:
        call("lora_ablation.load")


rule lora_ablation_index:
    """Labels and split of all adapters; shards must agree on their tensors."""
    input:
        indexes=expand("<results>/lora_ablation/index/{shard}.parquet", shard=LORA_SHARDS),
        layouts=expand("<results>/lora_ablation/tensors/{shard}.json", shard=LORA_SHARDS),
    output:
        index="<results>/lora_ablation/index.parquet",
        data="<results>/lora_ablation/tables/data.csv",
    params:
        spec=canonical(LORA_JOBS.index()),
    shell:
        call("lora_ablation.index")


rule lora_ablation_features:
    """One family of numbers on one shard; an edit of a family recomputes that family."""
    input:
        tensors="<results>/lora_ablation/tensors/{shard}.npy",
        layout="<results>/lora_ablation/tensors/{shard}.json",
        index="<results>/lora_ablation/index/{shard}.parquet",
    output:
        features="<results>/lora_ablation/features/{family}/{shard}.parquet",
    # Before the next load, so that few shards wait on disk.
    priority: 1
    resources:
        mem_mb=1500,
        runtime=60,
        gpu=lambda w: gpus(LORA_JOBS.family(w.family)),
    params:
        # The module is imported by name, so it is stamped by its own path.
        code=lambda w: stamps(
            "scripts/lora_ablation/features.py",
            f"scripts/lora_ablation/representations/{LORA_JOBS.family(w.family).module}.py",
        ),
        spec=lambda w: canonical(LORA_JOBS.family(w.family)),
    shell:
        call("lora_ablation.features")


rule lora_ablation_train:
    """All runs of some cells of one representation by one arm; finished runs survive a kill."""
    input:
        layout=lambda w: f"<results>/lora_ablation/tensors/{LORA_SHARDS[0]}.json",
        index="<results>/lora_ablation/index.parquet",
        features=lambda w: LORA_JOBS.reads(w.arm, w.cells),
    output:
        runs="<results>/lora_ablation/runs/{arm}/{cells}.parquet",
        histories="<results>/lora_ablation/histories/{arm}/{cells}.parquet",
        predictions="<results>/lora_ablation/predictions/{arm}/{cells}.parquet",
    resources:
        # Numbers of all adapters stand in memory, once as read and once or twice as scaled.
        mem_mb=lambda w, input: int(1000 + 3 * megabytes(input)),
        runtime=60,
        gpu=lambda w: gpus(LORA_JOBS.trains[w.arm, w.cells]),
    params:
        code=lambda w: stamps(
            "scripts/lora_ablation/train.py", only=LORA_JOBS.implementations(w.arm, "trainer")
        ),
        spec=lambda w: canonical(LORA_JOBS.trains[w.arm, w.cells]),
    shell:
        call("lora_ablation.train")


rule lora_ablation_prepare:
    """Load and featurise a few generated adapters by one arm, to compare it with the reference."""
    output:
        runs="<results>/lora_ablation/runs/{arm}/prepare.parquet",
    resources:
        mem_mb=1500,
        runtime=60,
        gpu=lambda w: gpus(LORA_JOBS.prepare(w.arm)),
    params:
        code=lambda w: stamps(
            "scripts/lora_ablation/prepare.py",
            only=["generated", *LORA_JOBS.implementations(w.arm, "load", "features")],
        ),
        spec=lambda w: canonical(LORA_JOBS.prepare(w.arm)),
    shell:
        call("lora_ablation.prepare")


rule lora_ablation_nested:
    """A data set as the authors save theirs, for the measurement of loading."""
    output:
        dataset=directory("<results>/lora_ablation/nested"),
    resources:
        mem_mb=1500,
        runtime=60,
    params:
        code=stamps("scripts/lora_ablation/nested.py", only=["generated"]),
        spec=canonical(LORA_JOBS.nested()),
    shell:
        call("lora_ablation.nested")


rule lora_ablation_tables:
    """Accuracies with test-set intervals, drops, classes, learning curves, completeness."""
    input:
        runs="<results>/lora_ablation/runs.parquet",
        predictions=LORA_JOBS.predictions(),
    output:
        grid="<results>/lora_ablation/tables/grid.csv",
        drops="<results>/lora_ablation/tables/drops.csv",
        classes="<results>/lora_ablation/tables/classes.csv",
        curve="<results>/lora_ablation/tables/curve.csv",
        complete="<results>/lora_ablation/tables/complete.csv",
    params:
        spec=canonical(LORA_JOBS.tables()),
    shell:
        call("lora_ablation.tables")


rule lora_ablation_costs:
    """Costs per adapter with a model of larger data sets, repairs, singular values by rank."""
    input:
        runs="<results>/lora_ablation/runs.parquet",
        measurements="<results>/lora_ablation/measurements.parquet",
    output:
        stages="<results>/lora_ablation/tables/stages.csv",
        svd="<results>/lora_ablation/tables/svd.csv",
        repairs="<results>/lora_ablation/tables/repairs.csv",
    params:
        spec=canonical(LORA_JOBS.costs()),
    shell:
        call("lora_ablation.costs")
