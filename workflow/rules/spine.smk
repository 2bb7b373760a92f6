"""The generic part: aggregate -> agree, measure -> ledger -> report.

Knows a study by what it has announced (STUDY), and nothing else.
"""

PLANS = {}
try:
    check_sections(config, STUDY)
    for NAME in STUDIES:
        PLANS[NAME] = STUDY[NAME].plan()
        check_planned(STUDY[NAME])
except ConfigError as error:
    raise WorkflowError(str(error)) from None


# What studies say of their own tables, and in which words.
CHAPTERS = [path for s in STUDIES if exists(path := ours(f"scripts/{s}/chapter.py"))]
WORDS = ["macros.html", "chapter.html", "page.css", "page.js"]
WORDS += expand("{study}.{end}", study=STUDIES, end=["html", "faults.yaml"])
WORDS = [path for name in WORDS if exists(path := ours(f"workflow/report/{name}"))]

# Tables that every study has.
TABLES = ["runs.parquet", "measurements.parquet", "summary.csv", "jobs.csv", "agreement.csv"]


# A second each: on a cluster they stay where Snakemake runs.
localrules:
    aggregate,
    agree,
    draw,
    ledger,
    peers,
    report,


rule aggregate:
    """Stack a study's run files and summarise them with Monte Carlo errors."""
    input:
        files=lambda w: STUDY[w.study].runs,
    output:
        runs="<results>/{study}/runs.parquet",
        summary="<results>/{study}/summary.csv",
        jobs="<results>/{study}/jobs.csv",
    params:
        spec=lambda w: canonical(STUDY[w.study].aggregation()),
    shell:
        call("spine.aggregate")


rule agree:
    """Test every arm's declared agreement with the reference."""
    input:
        runs="<results>/{study}/runs.parquet",
    output:
        agreement="<results>/{study}/agreement.csv",
    params:
        spec=lambda w: canonical(STUDY[w.study].agreement()),
    shell:
        call("spine.agree")


rule compile:
    """Compile a study's kernels once for all jobs."""
    output:
        compiled=directory("<results>/{study}/numba"),
    # The longest chain of jobs begins with it.
    priority: 1
    resources:
        mem_mb=1000,
        runtime=60,
    params:
        code=lambda w: stamps(f"scripts/{w.study}/kernel.py"),
        # Another processor is another code, which may sum in another order.
        spec=canonical({"instruction_set": INSTRUCTIONS}),
    shell:
        call("{wildcards.study}.kernel")


rule draw:
    """The figures of a study's chapter from its tables."""
    input:
        unpack(lambda w: STUDY[w.study].drawn),
    output:
        figures="<results>/{study}/tables/figures.json",
    params:
        code=lambda w: stamps(f"scripts/{w.study}/draw.py"),
        spec=canonical({}),
    shell:
        call("{wildcards.study}.draw")


rule measure:
    """Time the contestants, interleaved, with nothing else of ours running."""
    input:
        unpack(lambda w: STUDY[w.study].data),
        kernel=lambda w: STUDY[w.study].kernel or [],
    output:
        # The last measurement stays until this one is whole.
        measurements=update("<results>/{study}/measurements.parquet"),
    # Before tables and figures, which would keep it waiting one by one.
    priority: 1
    # Nothing of ours runs beside it; on a cluster its node is its own (profiles/slurm).
    threads: lambda w: threads_of_measurement(workflow, STUDY[w.study], PLANS[w.study])
    resources:
        mem_mb=3000,
        runtime=120,
        gpu=lambda w: gpus_of(PLANS[w.study]),
    params:
        code=lambda w: stamps(
            "scripts/spine/measure.py", STUDY[w.study].script, *STUDY[w.study].code
        ),
        spec=lambda w: canonical(
            {"study": w.study, "script": STUDY[w.study].script, "plan": PLANS[w.study]}
        ),
    shell:
        call("spine.measure", "NUMBA_CACHE_DIR={input.kernel:q}")


rule ledger:
    """Ratios where they are allowed, and a verdict on every claim."""
    input:
        claims=lambda w: ours("config/claims.csv"),
        agreements=expand("<results>/{study}/agreement.csv", study=STUDIES),
        measurements=expand("<results>/{study}/measurements.parquet", study=STUDIES),
        runs=expand("<results>/{study}/runs.parquet", study=STUDIES),
        records=lambda w: sorted(map(str, Path(ours("results/records")).glob("*/ledger.csv"))),
    output:
        ratios="<results>/ratios.csv",
        ledger="<results>/ledger.csv",
    params:
        spec=canonical({s: STUDY[s].ledger() for s in STUDIES}),
    shell:
        call("spine.ledger")


rule peers:
    """Other packages beside ours: costs in the same workloads, metrics of the same units."""
    input:
        runs=expand("<results>/{study}/runs.parquet", study=STUDIES),
        measurements=expand("<results>/{study}/measurements.parquet", study=STUDIES),
        agreements=expand("<results>/{study}/agreement.csv", study=STUDIES),
    output:
        peers="<results>/peers.csv",
    params:
        spec=canonical({s: STUDY[s].peers() for s in STUDIES}),
    shell:
        call("spine.peer_table")


rule report:
    """One self-contained page: results, agreement, cost, claims."""
    input:
        template=lambda w: ours("workflow/report/page.html"),
        words=lambda w: WORDS,
        ratios="<results>/ratios.csv",
        ledger="<results>/ledger.csv",
        peers="<results>/peers.csv",
        tables=expand("<results>/{study}/{table}", study=STUDIES, table=TABLES),
        chapters=[path for s in STUDIES for path in STUDY[s].chapter],
    output:
        page="<results>/report.html",
        headlines="<results>/headlines.csv",
    params:
        code=stamps("scripts/spine/report.py", *CHAPTERS),
        spec=canonical({"note": ROOT.note, "studies": [STUDY[s].page() for s in STUDIES]}),
    shell:
        call("spine.report")
