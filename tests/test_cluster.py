"""On a cluster: what jobs ask for, what is refused before the first, rows of several processors."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pyarrow.parquet as pq
import pytest
import yaml
from snakemake.exceptions import ResourceValidationError
from snakemake.resources import Resources

from scripts.lib import provenance
from scripts.lib.seals import read_seal, seal_path, sealed
from scripts.lib.table_files import read_metadata, write_table
from scripts.spine import aggregate, cluster
from scripts.spine.cluster import SNAKEMAKE_MB, asking, minutes, partition, read_partitions
from tests.project import ROOT
from tests.stages import job_of

SINFO = "debug*|1:00:00|4000|4\nlong|7-00:00:00|64000|32\nlong|7-00:00:00|128000|64\n"


@pytest.fixture
def slurm(monkeypatch):
    """A Slurm with two partitions, the second of two kinds of nodes."""
    partition.cache_clear()
    monkeypatch.setattr(cluster.shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(cluster, "sinfo", lambda: SINFO)
    yield
    partition.cache_clear()


def asked(attempt=1, threads=1, where=None, cores=None, dry=False, **own):
    """What an attempt of a rule with one resource asks for."""
    rule = SimpleNamespace(
        resources=Resources.from_mapping(own | {"_cores": threads}),
        workflow=SimpleNamespace(dryrun=dry),
    )
    if where:
        rule.resources["slurm_partition"] = where
    (name,) = own
    more = {"rulename": "tep_bp_train", "async_run": None}
    return asking(rule, rule.resources[name])(
        {}, [], attempt, min(threads, cores or threads), **more
    )


def test_memory_is_the_script_s_and_what_snakemake_takes_and_grows_with_attempts(slurm):
    assert [asked(attempt, mem_mb=1000) for attempt in (1, 2, 3)] == [
        1000 + SNAKEMAKE_MB,
        2000 + SNAKEMAKE_MB,
        3000 + SNAKEMAKE_MB,
    ]
    assert [asked(attempt, runtime=20) for attempt in (1, 2, 3)] == [20, 40, 60]


def test_no_attempt_asks_for_more_than_its_partition_has(slurm):
    assert asked(3, runtime=30) == 60
    assert asked(3, mem_mb=2000) == int(4000 * 1.048576)
    assert asked(3, runtime=30, where="long") == 90


@pytest.mark.parametrize(
    ("own", "sentence"),
    [
        ({"runtime": 61}, "asks for 61 minutes, and the partition debug gives at most 60"),
        ({"mem_mb": 3900}, "asks for 4,300 MB of memory, and the partition debug gives at most"),
        (
            {"mem_mb": 1000, "threads": 5},
            "asks for 5 CPUs, and the partition debug gives at most 4",
        ),
        ({"mem_mb": 140_000, "where": "long"}, "the partition long gives at most 134,218"),
        ({"mem_mb": 1, "where": "big"}, "Slurm has no partition 'big'"),
    ],
)
def test_what_would_wait_for_ever_is_refused_in_a_sentence(slurm, own, sentence):
    with pytest.raises(ResourceValidationError, match=sentence) as refused:
        asked(**own)
    assert "\n" not in str(refused.value)


def test_cores_that_would_cut_a_job_short_are_refused_but_not_those_of_a_dry_run(slurm):
    with pytest.raises(ResourceValidationError, match="2 of the 4 CPUs that it computes with"):
        asked(mem_mb=1000, threads=4, cores=2)
    assert asked(mem_mb=1000, threads=4, cores=1, dry=True) == 1000 + SNAKEMAKE_MB
    assert asked(mem_mb=1000, threads=4, cores=8) == 1000 + SNAKEMAKE_MB


def test_the_largest_node_of_a_partition_counts_and_nothing_where_there_is_no_slurm(
    slurm, monkeypatch
):
    assert asked(mem_mb=130_000, threads=64, where="long") == 130_000 + SNAKEMAKE_MB
    partition.cache_clear()
    monkeypatch.setattr(cluster.shutil, "which", lambda name: None)
    assert asked(3, runtime=10**6) == 3 * 10**6


def test_the_times_of_slurm_are_read():
    told = {"infinite": float("inf"), "30": 0.5, "5:00": 5, "2:00:00": 120, "1-01:00:00": 1500}
    assert {text: minutes(text) for text in told} == told
    assert [limits.name for limits, default in read_partitions(SINFO) if default] == ["debug"]


RULE = re.compile(r"^rule (\w+):\n(.*?)(?=^\S|\Z)", re.M | re.S)
STAYS = re.compile(r"^localrules:\n((?:    \w+,\n)+)", re.M)


def test_every_job_is_short_and_stays_or_says_what_it_takes():
    texts = [path.read_text() for path in (ROOT / "workflow/rules").glob("*.smk")]
    rules = {name: text for whole in texts for name, text in RULE.findall(whole)}
    stays = {name for text in texts for found in STAYS.findall(text) for name in found.split(",\n")}
    stays = {name.strip() for name in stays} - {""}
    assert stays <= set(rules)
    for name, text in rules.items():
        asks = {"mem_mb=" in text, "runtime=" in text}
        assert asks == {name not in stays}, name
    computing = {"compile", "measure", "tep_bp_train", "tep_bp_gate", "deep_gpcm_train"}
    assert computing | {"lora_ablation_load", "lora_ablation_features"} <= rules.keys() - stays
    # Nodes may have no internet.
    assert {"tep_bp_fetch", "deep_gpcm_fetch", "aggregate", "report"} <= stays


@pytest.mark.parametrize("profile", ["slurm", "one_node"])
def test_profiles_keep_the_settings_of_the_default_one(profile):
    """Snakemake reads one workflow profile: what the default one says must be in the others."""
    read = {
        name: yaml.safe_load((ROOT / f"profiles/{name}/config.yaml").read_text())
        for name in ("default", profile)
    }
    # Here a fault ends the run, as somebody waits for it; there the night's other jobs are made.
    assert read["default"].pop("keep-going") is False
    assert read[profile]["keep-going"] is True
    # The GPUs of this machine are not those of a cluster, which gives out its own.
    assert read["default"].pop("resources") == {"gpu": 1}
    assert read[profile] == read[profile] | read["default"]


def plan(*pairs):
    entries = [SimpleNamespace(workers=workers, threads=threads) for workers, threads in pairs]
    return [SimpleNamespace(contestants=entries)]


def workflow(cores=None, nodes=None, remote=False):
    settings = SimpleNamespace(cores=cores, nodes=nodes)
    return SimpleNamespace(resource_settings=settings, remote_exec=remote)


def test_a_measurement_takes_all_cores_here_and_those_of_its_contestants_on_a_cluster():
    contestants = plan((1, 1), (2, 3), (4, 1))
    assert cluster.threads_alone(workflow(cores=16), contestants) == 16
    assert cluster.threads_alone(workflow(nodes=50), contestants) == 6
    assert cluster.threads_alone(workflow(cores=64, remote=True), contestants) == 6


@pytest.mark.parametrize(
    ("job", "said", "shared"),
    [(None, "", False), ("7", "NO\n", False), ("7", "OK\n", True), ("7", "", True)],
)
def test_a_node_is_shared_unless_slurm_says_that_it_is_not(monkeypatch, job, said, shared):
    def run(command, **options):
        assert "--jobs=7" in command
        return SimpleNamespace(stdout=said)

    monkeypatch.setattr(provenance.subprocess, "run", run)
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    if job:
        monkeypatch.setenv("SLURM_JOB_ID", job)
    assert provenance.node_is_shared() == shared


def test_each_row_names_the_instructions_it_was_computed_with_and_the_table_all_processors():
    notes = [{"processor": "A", "instruction_set": kind} for kind in ("aa", "bb", "aa")]
    told = aggregate.processors(notes)
    assert [(kind["instruction_set"], kind["files"]) for kind in told] == [("aa", 2), ("bb", 1)]


def annotate(path: Path, **notes) -> None:
    """Other metadata in a table of the workflow, sealed as if its job had written them."""
    table, seal = pq.read_table(path), read_seal(path)
    columns = {name: table[name] for name in table.column_names}
    write_table(path, columns, **(read_metadata(path) | notes))
    seal_path(path).write_text(sealed(path, seal.file, seal.key))


SHARED = "not alone on its node"


def test_the_page_names_several_processors_and_a_shared_node_and_is_silent_otherwise(finished):
    page = finished.folder / "results/report.html"
    assert "several kinds of processor" not in page.read_text()
    assert SHARED not in page.read_text()
    for path in (finished.results / "runs/antithetic").glob("*.parquet"):
        annotate(path, processor="Another CPU <b>", instruction_set="0" * 12)
    annotate(finished.results / "measurements.parquet", node_is_shared=True)
    (finished.results / "runs.parquet").unlink()
    finished.make()
    assert len(read_metadata(finished.results / "runs.parquet")["processors"]) == 2
    assert "Another CPU &lt;b&gt; (instructions 000000000000" in page.read_text()
    assert SHARED in page.read_text()
    rows = pq.read_table(finished.results / "runs.parquet").to_pylist()
    assert {row["arm"] for row in rows if row["instruction_set"] == "0" * 12} == {"antithetic"}


def test_a_job_on_another_kind_of_processor_has_kernels_of_its_own(tmp_path):
    folder = tmp_path / "numba"
    job = job_of({}, {}, {"compiled": folder})
    subprocess.run([sys.executable, "-m", "scripts.deep_gpcm.kernel", job], cwd=ROOT, check=True)
    (own,) = [path for path in folder.iterdir() if path.is_dir()]
    own.rename(folder / ("0" * 12))  # as compiled on another node
    before = sorted(path.relative_to(folder) for path in folder.rglob("*"))
    code = (
        "from scripts.lib.compiled import results_folder; "
        "from scripts.deep_gpcm.models.memory import recurrence; import numpy as np; "
        "a = np.ones((1, 4), np.float32); "
        "recurrence.read_forward(a[:, :3], a, a, a[[0] * 3], np.array([1]), 0, a * 0, "
        "np.empty((0, 3, 4), np.float32)); "
        "print(results_folder(), sum(recurrence.read_forward.stats.cache_misses.values()))"
    )
    given = os.environ | {"NUMBA_CACHE_DIR": str(folder)}
    jobs = [
        subprocess.Popen(
            [sys.executable, "-c", code],
            cwd=ROOT,
            env=given,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    for done in jobs:
        place, misses = done.communicate()[0].split()
        assert Path(place).name == own.name
        assert misses == "0"
    assert sorted(path.relative_to(folder) for path in folder.rglob("*")) == before
    assert not list(tmp_path.rglob("*tmp*"))
    shutil.rmtree(folder)


TIMERS = """
import atexit, sys, threading
from pathlib import Path
sys.path.insert(0, {root!r})
from scripts.spine.cluster import spare_the_timers

started, real = [], threading.Timer
threading.Timer = lambda *told: [started.append(told[0]), real(*told)][1]
if workflow.is_main_process:
    atexit.register(lambda: Path("timers").write_text(str(len(started))))

rule all:
    input: expand("{{n}}.done", n=range(6))

rule work:
    output: touch("{{n}}.done")
    shell: ":"

{last}
"""


USER = ["--max-jobs-per-timespan", "50/1s"]


@pytest.mark.parametrize(
    ("last", "more", "timers"),
    [
        ("onstart: spare_the_timers(workflow.scheduler)", [], False),
        ("", [], True),
        ("onstart: spare_the_timers(workflow.scheduler)", USER, True),
    ],
    ids=["ours", "Snakemake's", "the user's limit"],
)
def test_no_look_at_the_jobs_starts_a_timer_that_is_another_look(tmp_path, last, more, timers):
    (tmp_path / "Snakefile").write_text(TIMERS.format(root=str(ROOT), last=last))
    command = [sys.executable, "-m", "snakemake", "--cores", "1", "--quiet", "all", *more]
    subprocess.run(command, cwd=tmp_path, check=True, stdin=subprocess.DEVNULL)
    assert len(list(tmp_path.glob("*.done"))) == 6
    assert (int((tmp_path / "timers").read_text()) > 0) is timers
