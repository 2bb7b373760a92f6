"""Engression replications: load (simulate) -> train.

Makes <results>/engression/{data,runs,histories,units}; announces its run files and measurement.
"""

from scripts.engression import design as engression_design
from scripts.engression.check import check_engression

ENGRESSION = config["engression"]
try:
    check_config(ENGRESSION, "workflow/schemas/engression.schema.yaml", at="engression")
    check_engression(ENGRESSION)
except ConfigError as error:
    raise WorkflowError(str(error)) from None

ENGRESSION_BLOCKS = engression_design.blocks(ENGRESSION["reps"], ENGRESSION["block"])
ENGRESSION_TRAIN = stamps("scripts/engression/train.py")


def engression_samples(wildcards):
    """Specification of a data file: the units of a block, or those that `measure` trains."""
    chosen = engression_design.measured_units(ENGRESSION)
    if wildcards.block in ENGRESSION_BLOCKS:
        chosen = engression_design.all_units(ENGRESSION, ENGRESSION_BLOCKS[wildcards.block])
    return canonical({"seed": config["seed"], "units": chosen})


def engression_job(arm, block):
    """Specification of a training job."""
    chosen = engression_design.units(ENGRESSION, arm, ENGRESSION_BLOCKS[block])
    return engression_design.training_job(ENGRESSION, config["seed"], arm, chosen)


RUNS["engression"] = {
    f"<results>/engression/runs/{arm}/{block}.parquet": digest(
        engression_job(arm, block), ENGRESSION_TRAIN
    )
    for arm, block in engression_design.arm_blocks(ENGRESSION)
}
AXES["engression"] = engression_design.AXES
MEASURED["engression"] = {
    "data": "<results>/engression/data/measured.parquet",
    "script": "scripts/engression/train.py",
    "plan": engression_design.measurement_plan(ENGRESSION, config["seed"]),
}


rule engression_load:
    """Simulate the samples of one block of replications."""
    output:
        data="<results>/engression/data/{block}.parquet",
    log:
        "<results>/engression/logs/load/{block}.log",
    params:
        *stamps("scripts/engression/load.py"),
        spec=engression_samples,
    shell:
        "python -m scripts.engression.load --spec {params.spec:q} --data {output.data:q} 2> {log:q}"


rule engression_train:
    """Train one arm on one block of replications; finished units survive a kill."""
    input:
        data="<results>/engression/data/{block}.parquet",
    output:
        runs="<results>/engression/runs/{arm}/{block}.parquet",
        histories="<results>/engression/histories/{arm}/{block}.parquet",
    log:
        "<results>/engression/logs/train/{arm}/{block}.log",
    threads: 1
    resources:
        mem_mb=1000,
    params:
        *ENGRESSION_TRAIN,
        spec=lambda w: canonical(engression_job(w.arm, w.block)),
        units=f"{RESULTS}/engression/units",
    shell:
        "python -m scripts.engression.train --spec {params.spec:q} --threads {threads}"
        " --data {input.data:q} --units {params.units:q}"
        " --runs {output.runs:q} --histories {output.histories:q} 2> {log:q}"
