"""The generic part: aggregate -> agree, measure -> ledger -> report.

Knows a study by its run files (RUNS), its AXES, METRICS and PHASES, its measurement (MEASURED) and the
sections `agreement`, `summary`, `measure` and `report` of its configuration; nothing else.
"""

try:
    check_sections(config, AXES)
    for study in STUDIES:
        check_announced(study, METRICS=METRICS, PHASES=PHASES)
        check_contract(study, config[study], AXES[study], METRICS[study], PHASES[study])
        MEASURED[study]["plan"] = MEASURED[study]["plan"]()
        check_planned(study, config[study], RUNS[study], MEASURED[study]["plan"])
except ConfigError as error:
    raise WorkflowError(str(error)) from None


rule aggregate:
    """Stack a study's run files and summarise them with Monte Carlo errors."""
    input:
        runs=lambda w: RUNS[w.study],
    output:
        runs="<results>/{study}/runs.parquet",
        summary="<results>/{study}/summary.csv",
        jobs="<results>/{study}/jobs.csv",
    log:
        "<results>/{study}/logs/aggregate.log",
    conda:
        "../envs/isospeed.yaml"
    params:
        *stamps("scripts/spine/aggregate.py"),
        spec=lambda w: canonical({"axes": AXES[w.study], "summary": config[w.study]["summary"]}),
    shell:
        "python -m scripts.spine.aggregate --job {params.job:q} --files {input.runs:q}"
        " --runs {output.runs:q} --summary {output.summary:q} --jobs {output.jobs:q} 2> {log:q}"


rule agree:
    """Test every arm's declared agreement with the reference."""
    input:
        runs="<results>/{study}/runs.parquet",
    output:
        agreement="<results>/{study}/agreement.csv",
    log:
        "<results>/{study}/logs/agree.log",
    conda:
        "../envs/isospeed.yaml"
    params:
        *stamps("scripts/spine/agree.py"),
        spec=lambda w: canonical(config[w.study]["agreement"] | {"axes": AXES[w.study]}),
    shell:
        "python -m scripts.spine.agree --job {params.job:q} --runs {input.runs:q}"
        " --agreement {output.agreement:q} 2> {log:q}"


rule measure:
    """Time the contestants, interleaved, with nothing else of ours running."""
    input:
        data=lambda w: MEASURED[w.study]["data"],
        kernel=lambda w: MEASURED[w.study].get("kernel", []),
    output:
        # The last measurement stays until this one is whole.
        measurements=update("<results>/{study}/measurements.parquet"),
    log:
        "<results>/{study}/logs/measure.log",
    # Before tables and figures, which would keep it waiting one by one.
    priority: 1
    conda:
        "../envs/isospeed.yaml"
    # All cores of the run, so that nothing of ours runs beside it.
    threads: lambda w: workflow.resource_settings.cores or 1
    params:
        code=lambda w: stamps("scripts/spine/measure.py", MEASURED[w.study]["script"]),
        spec=lambda w: canonical({"study": w.study, "plan": MEASURED[w.study]["plan"]}),
        script=lambda w: MEASURED[w.study]["script"],
    shell:
        "NUMBA_CACHE_DIR={input.kernel:q} python -m scripts.spine.measure --job {params.job:q} --script {params.script:q}"
        " --data {input.data:q} --measurements {output.measurements:q} 2> >(tee {log:q} >&2)"


rule ledger:
    """Ratios where they are allowed, and a verdict on every claim."""
    input:
        claims="config/claims.csv",
        agreements=expand("<results>/{study}/agreement.csv", study=STUDIES),
        measurements=expand("<results>/{study}/measurements.parquet", study=STUDIES),
    output:
        ratios="<results>/ratios.csv",
        ledger="<results>/ledger.csv",
    log:
        "<results>/logs/ledger.log",
    conda:
        "../envs/isospeed.yaml"
    params:
        *stamps("scripts/spine/ledger.py"),
        spec=canonical([config[s]["measure"]["compare"] | {"study": s} for s in STUDIES]),
    shell:
        "python -m scripts.spine.ledger --job {params.job:q} --claims {input.claims:q}"
        " --agreements {input.agreements:q} --measurements {input.measurements:q}"
        " --ratios {output.ratios:q} --ledger {output.ledger:q} 2> {log:q}"


rule report:
    """One self-contained page: results, agreement, cost, claims."""
    input:
        template="workflow/report/page.html.j2",
        macros="workflow/report/macros.html",
        prose=[path for s in STUDIES if exists(path := f"workflow/report/{s}.html")],
        ratios="<results>/ratios.csv",
        ledger="<results>/ledger.csv",
        runs=expand("<results>/{study}/runs.parquet", study=STUDIES),
        summaries=expand("<results>/{study}/summary.csv", study=STUDIES),
        jobs=expand("<results>/{study}/jobs.csv", study=STUDIES),
        agreements=expand("<results>/{study}/agreement.csv", study=STUDIES),
        measurements=expand("<results>/{study}/measurements.parquet", study=STUDIES),
        chapters=[path for s in STUDIES for path in CHAPTERS.get(s, [])],
    output:
        page="<results>/report.html",
    log:
        "<results>/logs/report.log",
    conda:
        "../envs/isospeed.yaml"
    params:
        *stamps("scripts/spine/report.py"),
        spec=canonical(
            [
                config[study]["report"]
                | config[study]["measure"]["compare"]
                | {
                    "axes": AXES[study],
                    "reference": config[study]["agreement"]["reference"],
                    "split": config[study]["agreement"]["split"],
                    "arms": list(config[study]["agreement"]["arms"]),
                    "chapter": len(CHAPTERS.get(study, [])),
                }
                for study in STUDIES
            ]
        ),
    shell:
        "python -m scripts.spine.report --job {params.job:q} --template {input.template:q}"
        " --ratios {input.ratios:q} --ledger {input.ledger:q} --runs {input.runs:q}"
        " --summaries {input.summaries:q} --jobs {input.jobs:q} --agreements {input.agreements:q}"
        " --measurements {input.measurements:q} --chapters {input.chapters:q}"
        " --page {output.page:q} 2> {log:q}"
