"""Studies of two stages, load -> train: each is scripts/<study>/study.py and config/<study>.yaml.

Makes <results>/<study>/{data,runs,units} and the study's further tables.
"""

for NAME in two_stage_studies(config["studies"]):

    configfile: ours(f"config/{NAME}.yaml")

    try:
        TWO_STAGE = two_stage(NAME)
        MODEL = two_stage_section(TWO_STAGE)
    except ConfigError as error:
        raise WorkflowError(str(error)) from None
    SECTION = announce(NAME, MODEL, partial(announced, TWO_STAGE))
    JOBS = Jobs(TWO_STAGE, SECTION, ROOT.seed)
    workflow.localrules(f"{NAME}_load")

    rule:
        name:
            f"{NAME}_load"
        output:
            data=f"<results>/{NAME}/data/{{block}}.parquet",
        params:
            code=stamps("scripts/spine/load.py", TWO_STAGE.script, only=()),
            spec=lambda w, JOBS=JOBS: canonical(JOBS.load(w.block)),
        shell:
            call("spine.load")

    rule:
        name:
            f"{NAME}_train"
        input:
            data=f"<results>/{NAME}/data/{{block}}.parquet",
        output:
            runs=f"<results>/{NAME}/runs/{{arm}}/{{block}}.parquet",
            tables=[
                f"<results>/{NAME}/{table}/{{arm}}/{{block}}.parquet" for table in TWO_STAGE.tables
            ],
        resources:
            mem_mb=1000,
            runtime=60,
            gpu=lambda w, JOBS=JOBS: gpus(JOBS.train(w.arm, w.block)),
        params:
            code=lambda w, JOBS=JOBS: JOBS.stamps(w.arm),
            spec=lambda w, JOBS=JOBS: canonical(JOBS.train(w.arm, w.block)),
        shell:
            call("spine.train")
