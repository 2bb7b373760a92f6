"""No table is older than what it is made from, however things are edited, killed and lost."""

import os
import shutil
import signal
import time

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.integrity.histories import first_job
from tests.project import Project, copy_code

pytestmark = pytest.mark.spread
LOADER = (
    "scripts/engression/study.py",
    'LAWS[unit["law"]].draw(unit.rng("data"), unit["n"])',
    '(100.0 + LAWS[unit["law"]].draw(unit.rng("data"), unit["n"]))',
)
SUMMARY = "results/engression/summary.csv"


def mean_distance(project: Project) -> float:
    """A number of the summary that follows the data."""
    summary = pd.read_csv(project.folder / SUMMARY)
    return summary.loc[summary["metric"] == "mean_distance", "value"].mean()


def test_an_edit_of_the_first_stage_changes_the_tables_of_the_last(finished):
    """H1: units were reused whose data another loader had made."""
    before = mean_distance(finished)
    finished.edit(*LOADER)
    finished.make(SUMMARY)
    assert mean_distance(finished) > before + 50


def test_the_units_of_an_edit_undone_serve_again(finished):
    before, units = finished.rows(), finished.trained()
    finished.edit(*LOADER)
    finished.make(SUMMARY)
    assert len(finished.trained()) == 2 * len(units)
    finished.edit(LOADER[0], LOADER[2], LOADER[1])
    finished.make(SUMMARY)
    assert finished.rows() == before
    assert len(finished.trained()) == 2 * len(units)


def test_a_kill_after_an_edit_leaves_work_for_the_next_call(finished):
    """H2: with the killed job's output deleted there was "Nothing to be done", and old tables.

    Other victims and signals: test_histories.py.
    """
    before = mean_distance(finished)
    finished.edit(*LOADER)
    finished.make("--until", "engression_load")
    run = finished.start(SUMMARY)
    job = first_job(run)
    assert job
    job.kill()
    run.wait(60)
    assert finished.jobs(SUMMARY)
    finished.make(SUMMARY)
    assert mean_distance(finished) > before + 50


def test_what_snakemake_remembers_is_not_needed_to_see_an_edit(finished):
    before = mean_distance(finished)
    shutil.rmtree(finished.folder / ".snakemake")
    assert finished.jobs() == {}
    finished.edit(*LOADER)
    assert finished.jobs(SUMMARY)["engression_train"] == 6
    finished.make(SUMMARY)
    assert mean_distance(finished) > before + 50
    assert finished.jobs(SUMMARY) == {}


def test_snakemake_told_to_look_at_times_only_does_not_hide_an_edit(finished):
    finished.edit(*LOADER)
    assert finished.jobs(SUMMARY, "--rerun-triggers", "mtime")["engression_train"] == 6


def test_what_is_missing_in_between_is_made_again(finished):
    before = finished.rows()
    for path in ("data/reps-000-000.parquet", "histories/exact/reps-000-000.parquet"):
        (finished.results / path).unlink()
    assert finished.jobs()["engression_load"] == 1
    finished.make()
    assert finished.rows() == before
    assert finished.jobs() == {}


def test_units_and_run_files_deleted_are_trained_again(finished):
    """M9: the way that README names to train units again although nothing changed."""
    before, units = finished.rows(), finished.trained()
    shutil.rmtree(finished.results / "units")
    assert finished.jobs() == {}
    shutil.rmtree(finished.results / "runs")
    finished.make()
    assert finished.trained() == units
    assert finished.rows() == before


@pytest.mark.slow
def test_a_file_of_another_configuration_is_made_again(finished, tmp_path):
    other = Project(copy_code(tmp_path / "other"))
    config = other.overlay(train="{m: 4, batch: 16, max_epochs: 2}")
    other.science(config=config)
    before = finished.rows()
    for name in ("runs.parquet", "runs/reference/reps-000-000.parquet"):
        for path in (name, f"{os.path.dirname(name) or '.'}/.{os.path.basename(name)}.seal"):
            shutil.copy2(other.results / path, finished.results / path)
    done = finished.snakemake()
    assert "other code, data or settings" in done.stdout + done.stderr
    assert done.returncode == 0
    assert finished.rows() == before
    assert finished.jobs() == {}


def test_a_value_edited_in_a_table_does_not_survive(finished):
    """C: other numbers with exit code 0."""
    before, file = finished.rows(), finished.results / "runs/reference/reps-000-000.parquet"
    table = pq.read_table(file)
    column = table.column_names.index("w1_test")
    doubled = pa.array([2 * x for x in table["w1_test"].to_pylist()])
    pq.write_table(table.set_column(column, "w1_test", doubled), file)
    done = finished.snakemake()
    assert f"{file.relative_to(finished.folder)} is damaged" in done.stdout + done.stderr
    assert done.returncode == 0
    assert finished.rows() == before


@pytest.mark.parametrize(
    "words",
    [
        ["--unlock"],
        ["--summary"],
        ["--rulegraph"],
        ["--dag"],
        ["--list-changes", "params"],
        ["--lint"],
    ],
    ids=lambda words: words[0],
)
def test_what_runs_nothing_needs_no_number_of_cores(finished, words):
    """M1: README says `snakemake --unlock`."""
    command = [word for word in finished.command(*words) if word not in ("--cores", "2")]
    done = finished.snakemake(command=command)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_killed_measurement_leaves_the_last_one_whole(finished):
    file = finished.results / "measurements.parquet"
    before = file.read_bytes()
    finished.edit("scripts/engression/models/losses.py", "0.5 * term2", "0.25 * term2")
    finished.make("science")
    run = finished.start("results/engression/measurements.parquet")
    assert first_job(run)
    time.sleep(0.3)
    os.killpg(run.pid, signal.SIGINT)
    run.wait(60)
    assert file.read_bytes() == before
    finished.snakemake("--unlock")
    assert finished.jobs("results/engression/measurements.parquet") == {"measure": 1}


def test_a_measurement_follows_its_own_study_only(finished):
    """An edit of another study times nothing again, one of the harness does."""
    finished.edit("scripts/tep_bp/gate.py", "BEST = 10", "BEST = 9")
    assert "measure" not in finished.jobs()
    finished.edit("scripts/lib/workers.py", '"99"', '"98"')
    assert finished.jobs()["measure"] == 1
