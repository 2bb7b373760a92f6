"""Engression replications: load (simulate) -> train.

Makes <results>/engression/{data,runs,histories,units}; announces its run files and measurement.
"""

from scripts.engression import design as engression_design
from scripts.engression import names as engression_names
from scripts.engression.check import check_engression


configfile: "config/engression.yaml"


ENGRESSION = config["engression"]
# Also where the study is switched off: its rules are read in any case.
try:
    check_engression(ENGRESSION)
except ConfigError as error:
    raise WorkflowError(str(error)) from None
AXES["engression"] = engression_design.AXES
METRICS["engression"], PHASES["engression"] = engression_names.METRICS, engression_names.PHASES


if "engression" in STUDIES:
    RUNS["engression"] = [
        f"<results>/engression/runs/{arm}/{block}.parquet"
        for arm, block in engression_design.arm_blocks(ENGRESSION)
    ]
    MEASURED["engression"] = {
        "data": ["<results>/engression/data/measured.parquet"],
        "script": "scripts/engression/train.py",
        "plan": partial(
            measurement_plan,
            ENGRESSION["measure"],
            engression_design.round_units,
            partial(engression_design.measured_job, ENGRESSION, config["seed"]),
        ),
    }


rule engression_load:
    """Simulate the samples of one block of replications."""
    output:
        data="<results>/engression/data/{block}.parquet",
    log:
        "<results>/engression/logs/load/{block}.log",
    conda:
        "../envs/isospeed.yaml"
    params:
        *stamps("scripts/engression/load.py"),
        spec=lambda w: canonical(
            engression_design.block_samples(ENGRESSION, config["seed"], w.block)
        ),
    shell:
        "python -m scripts.engression.load --job {params.job:q} --data {output.data:q} 2> {log:q}"


rule engression_train:
    """Train one arm on one block of replications; finished units survive a kill."""
    input:
        data="<results>/engression/data/{block}.parquet",
    output:
        runs="<results>/engression/runs/{arm}/{block}.parquet",
        histories="<results>/engression/histories/{arm}/{block}.parquet",
    log:
        "<results>/engression/logs/train/{arm}/{block}.log",
    conda:
        "../envs/isospeed.yaml"
    threads: 1
    resources:
        mem_mb=1000,
    params:
        *stamps("scripts/engression/train.py"),
        spec=lambda w: canonical(
            engression_design.block_job(ENGRESSION, config["seed"], w.arm, w.block)
        ),
        units=f"{RESULTS}/engression/units",
    shell:
        "python -m scripts.engression.train --job {params.job:q} --threads {threads}"
        " --data {input.data:q} --units {params.units:q}"
        " --runs {output.runs:q} --histories {output.histories:q} 2> >(tee {log:q} >&2)"
