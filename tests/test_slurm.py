"""On a real Slurm, whatever is killed, cancelled or cut off: the tables are those of a local run.

    .ci/slurm_lab /tmp/lab 3 -- .venv/bin/pytest -m slurm --numprocesses 0

takes a quarter of an hour: a lost node is noticed after half a minute and held for two.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from scripts.lib.table_files import read_metadata
from tests.digests import tables
from tests.project import ROOT, Project, copy_code

pytestmark = [
    pytest.mark.slurm,
    pytest.mark.skipif("SLURM_LAB" not in os.environ, reason="no Slurm: run .ci/slurm_lab"),
]
SNAKEMAKE = os.environ.get("SNAKEMAKE", str(ROOT / ".venv-slurm/bin/snakemake"))
LAB = Path(os.environ.get("SLURM_LAB", "/nowhere"))
SOON = ["--slurm-init-seconds-before-status-checks", "1", "--seconds-between-status-checks", "1"]
SOON += ["--latency-wait", "5"]
# Three jobs of 8 units, a second each.
OFF = "{run: {reps: 0}}"
STUDY = {"arms": f"{{reference: {OFF}, exact: {OFF}, source_cdist: {OFF}}}", "reps": "6"}
STUDY |= {"block": "2", "eval": "{test_draws: 1000000}"}


class Cluster(Project):
    """A project whose jobs Slurm runs."""

    def command(self, *words: str, cores: int = 2, config: str | None = None) -> list[str]:
        profile = ["--workflow-profile", "profiles/slurm", *SOON]
        return [SNAKEMAKE, *words, *profile, "--configfile", *(config or self.tiny).split()]

    def queue(self, *states: str) -> list[str]:
        """Numbers of its jobs in one of these states, or in any."""
        asked = ["squeue", "--noheader", "--format=%i %Z", *(f"--states={s}" for s in states)]
        lines = subprocess.check_output(asked, text=True).splitlines()
        return [line.split()[0] for line in lines if line.split()[1] == str(self.folder)]

    def cancel(self) -> None:
        """None of its jobs is left in the queue."""
        for job in self.queue():
            subprocess.run(["scancel", job], check=True)
        wait_for(self.is_idle)

    def is_idle(self) -> bool:
        return not self.queue()


def wait_for(what: Callable[[], bool], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, f"waited {seconds} s for {what.__name__}"
        time.sleep(0.2)


@pytest.fixture
def project(tmp_path) -> Cluster:
    """A project as cloned, of which nothing is left in the queue."""
    project = Cluster(copy_code(tmp_path / "project"))
    yield project
    project.cancel()


@pytest.fixture(scope="module")
def local(tmp_path_factory) -> Project:
    """The project after a local run."""
    project = Project(copy_code(tmp_path_factory.mktemp("local") / "project"))
    project.science(config=project.overlay(**STUDY))
    return project


def started(project: Cluster, *words: str) -> tuple[subprocess.Popen, Path]:
    """A run that was just started, and the file with what its user sees."""
    said = project.folder / "said.txt"
    with said.open("a") as opened:
        run = subprocess.Popen(
            project.command("science", *words, config=project.overlay(**STUDY)),
            cwd=project.folder,
            stdin=subprocess.DEVNULL,
            stdout=opened,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )
    return run, said


def ends_well(run: subprocess.Popen, project: Cluster, local: Project) -> None:
    """The run succeeds, its tables are the local ones, and nothing is left to do."""
    assert run.wait(420) == 0, (project.folder / "said.txt").read_text()[-3000:]
    assert tables(project.folder / "results") == tables(local.folder / "results")
    assert not list((project.folder / "results").rglob("*.tmp"))
    assert project.jobs("science", config=project.overlay(**STUDY)) == {}


def resumes(project: Cluster, local: Project) -> None:
    """The next call, after the lock is taken away, ends well."""
    project.snakemake("--unlock", config=project.overlay(**STUDY))
    ends_well(started(project)[0], project, local)


def kill_all(roots: list[psutil.Process]) -> None:
    """Processes and all below them, as a machine without current leaves them."""
    family = {root.pid: root for root in roots}
    for root in roots:
        family |= {child.pid: child for child in root.children(recursive=True)}
    for member in family.values():
        with contextlib.suppress(psutil.NoSuchProcess):
            member.kill()


def test_a_cancelled_job_is_sent_again(project, local):
    run, said = started(project)
    project.wait_for_units(2)
    subprocess.run(["scancel", project.queue("running")[0]], check=True)
    ends_well(run, project, local)
    assert "SLURM status is: 'CANCELLED'" in said.read_text()


def test_a_job_over_its_memory_gets_more(project, local):
    """A training job takes some 560 MiB, Snakemake included: 500 are too few, 600 are enough."""
    run, said = started(project, "--set-resources", "engression_train:mem_mb=100")
    ends_well(run, project, local)
    assert "Trying to restart job" in said.read_text()
    logs = (project.folder / ".snakemake/slurm_logs").rglob("*.log")
    assert any("exceeded memory limit" in path.read_text().lower() for path in logs)


def test_a_job_over_its_time_goes_on_where_it_was(project, local):
    """480 units in one job, more than a minute of Slurm's; those that both runs have are equal.

    How many attempts it takes is the machine's: units are kept, so each goes on.
    """
    config = project.overlay(**STUDY | {"reps": "120", "block": "120"})
    asked = ["--set-resources", "engression_train:runtime=1", "--retries", "20"]
    command = project.command("science", *asked, config=config)
    done = subprocess.run(command, cwd=project.folder, capture_output=True, text=True, timeout=1200)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "TIMEOUT" in done.stdout + done.stderr
    assert [row for row in project.rows() if row["rep"] < 6] == local.rows()
    assert len(list((project.results / "units/antithetic").rglob("*.json"))) == 480


def test_the_jobs_of_a_lost_node_run_elsewhere(project, local):
    run, _ = started(project)
    project.wait_for_units(2)
    node = running_on(project.queue("running")[0])
    daemon = psutil.Process(int((LAB / f"run/{node}.pid").read_text()))
    there = [job for job in project.queue("running") if running_on(job) == node]
    steps = [p for p in psutil.process_iter(["cmdline"]) if is_step_of(p, there)]
    assert steps
    kill_all([daemon, *steps])
    try:
        ends_well(run, project, local)
    finally:
        subprocess.run(["slurmd", "-N", node], check=True)
        up = ["sinfo", "--noheader", "--nodes", node, "--format=%t"]
        wait_for(lambda: subprocess.check_output(up, text=True).strip() == "idle")


def running_on(job: str) -> str:
    """The node of a job."""
    asked = ["squeue", "--noheader", "--jobs", job, "--format=%N"]
    return subprocess.check_output(asked, text=True).strip()


def is_step_of(process: psutil.Process, jobs: list[str]) -> bool:
    """Whether a process is the guardian of a step of one of these jobs."""
    words = " ".join(process.info["cmdline"] or [])
    return words.startswith("slurmstepd:") and any(f"[{job}." in words for job in jobs)


def test_an_interrupt_cancels_the_jobs_and_leaves_no_lock(project, local):
    run, said = started(project)
    project.wait_for_units(2)
    os.kill(run.pid, signal.SIGINT)
    assert run.wait(240) != 0
    wait_for(project.is_idle, 30)
    assert "Terminating processes on user request" in said.read_text()
    ends_well(started(project)[0], project, local)


@pytest.mark.parametrize(
    "orphans", ["are waited for", "run on beside their twins", "are cancelled"]
)
def test_a_killed_run_goes_on(project, local, orphans):
    run, _ = started(project)
    project.wait_for_units(2)
    os.kill(run.pid, signal.SIGKILL)
    run.wait(10)
    if orphans == "are cancelled":
        project.cancel()
    refused = project.snakemake("science", config=project.overlay(**STUDY))
    assert "cannot be locked" in refused.stdout + refused.stderr
    if orphans == "are waited for":
        wait_for(project.is_idle)
    resumes(project, local)


def test_the_end_of_one_run_leaves_another_in_the_same_folder_alone(project, local):
    run, _ = started(project)
    other = project.folder / "other.yaml"
    other.write_text("pathvars: {results: results/other}\n")
    project.make("science", "--nolock", config=f"{project.tiny} other.yaml")
    shutil.rmtree(project.folder / "results/other")
    ends_well(run, project, local)


def test_a_measurement_is_alone_on_its_node(project):
    project.make("results/engression/measurements.parquet")
    notes = read_metadata(project.results / "measurements.parquet")
    assert notes["node_is_shared"] is False


def test_the_whole_workflow_is_one_job_of_one_node(tmp_path):
    project = Project(copy_code(tmp_path / "project"))
    options = ["--wait", "--cpus-per-task", "2", "--mem", "4G", "--time", "10"]
    job = ["profiles/one_node/job", "--configfile", project.tiny]
    of_snakemake = os.environ | {"SNAKEMAKE": SNAKEMAKE}
    done = subprocess.run(
        ["sbatch", *options, *job], cwd=project.folder, env=of_snakemake, timeout=300, check=False
    )
    said = "".join(path.read_text() for path in project.folder.glob("slurm-*.out"))
    assert done.returncode == 0, said
    assert (project.folder / "results/report.html").exists()
    assert project.jobs() == {}
