"""The overlays of docs/how-to/engression.md, taken from the page, run and do what it says."""

import re
import shutil

import pandas as pd
import pyarrow.parquet as pq
import pytest

from scripts.lib.code import ROOT
from tests.project import Project, copy_code

PAGE = (ROOT / "docs/how-to/engression.md").read_text(encoding="utf-8")
# Each block of code begins with a comment that names its file.
FILES = dict(re.findall(r"```(?:python|yaml)\n# (\S+)\n(.*?)```", PAGE, re.DOTALL))
SMALL, SMALL_TABLE = "tests/tiny_own.yaml", "tests/tiny_table.yaml"


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Project:
    """A project with the files of the page beside it."""
    project = Project(copy_code(tmp_path_factory.mktemp("own") / "project"))
    for name in (SMALL, SMALL_TABLE):
        shutil.copy2(ROOT / name, project.folder / name)
    for name, content in FILES.items():
        (project.folder / name).write_text(content)
    return project


def folder_of(project: Project, name: str, study: str):
    return project.folder / f"results/{name}/{study}"


def units(project: Project, name: str) -> set[str]:
    """Every unit that was ever trained for an overlay: law, size, replication, its data."""
    found = (folder_of(project, name, "engression") / "units").rglob("*.json")
    return {f"{path.parents[1].name}/{path.stem}" for path in found}


def test_a_law_whose_file_changes_trains_its_own_units_again_and_no_others(project):
    overlay = f"law.yaml {SMALL}"
    project.make("science", config=overlay)
    before = units(project, "law")
    assert {unit.partition("_")[0].partition("/")[2] for unit in before} == {"normal", "weibull"}
    project.edit("weibull.py", "rng.weibull(1.0, size)", "rng.weibull(1.0, size) * 1.0")
    project.make("science", config=overlay)
    after = units(project, "law") - before
    assert {unit.partition("_")[0].partition("/")[2] for unit in after} == {"weibull"}
    assert len(after) == 2  # one unit of each arm that runs
    assert project.jobs("science", config=overlay) == {}


def test_one_more_law_trains_no_unit_of_the_others_again(project):
    before = units(project, "law")
    more = FILES["law.yaml"].replace("{weibull: {", "{second: {file: weibull.py}, weibull: {")
    (project.folder / "more.yaml").write_text(more.replace("[normal,", "[normal, second,"))
    project.make("science", config=f"more.yaml {SMALL}")
    after = units(project, "law") - before
    assert {unit.partition("_")[0].partition("/")[2] for unit in after} == {"second"}


def test_a_law_that_cannot_be_drawn_from_is_refused_before_the_first_job(project):
    (project.folder / "bad.py").write_text("def draw(rng, size):\n    return None\n")
    (project.folder / "bad.yaml").write_text(FILES["law.yaml"].replace("weibull.py", "bad.py"))
    done = project.snakemake("-n", config=f"bad.yaml {SMALL}")
    output = done.stdout + done.stderr
    assert done.returncode != 0
    assert "bad.py: draw(rng, 50) gives NoneType; expected a NumPy array" in output
    assert "Traceback" not in output


@pytest.mark.slow
def test_a_sample_of_two_columns_becomes_a_page(project):
    project.make(config=f"sample.yaml {SMALL}")
    runs = pd.read_parquet(folder_of(project, "sample", "engression") / "runs.parquet")
    assert set(runs["law"]) == {"spending"}
    assert runs["excess_loss"].notna().all()
    assert "ks" not in runs  # which is of one dimension
    data = pq.read_table(folder_of(project, "sample", "engression") / "data/reps-000-000.parquet")
    assert data["x_shape"].to_pylist() == [[100, 2]]
    assert data["held_out_shape"].to_pylist() == [[59, 2]]
    page = (project.folder / "results/sample/report.html").read_text()
    assert "spending" in page
    assert "nan" not in re.sub(r"<[^>]*>", " ", page).lower().split()


@pytest.mark.slow
def test_a_regression_table_becomes_a_page_with_the_figure_beyond_the_support(project):
    project.make(config=f"table.yaml {SMALL_TABLE}")
    runs = pd.read_parquet(folder_of(project, "table", "regression") / "runs.parquet")
    assert set(runs["table"]) == {"food"}
    assert set(runs["split"]) == {"inside", "beyond"}
    page = (project.folder / "results/table/report.html").read_text()
    assert 'id="regression-beyond' in page
    log = folder_of(project, "table", "regression") / "logs/load/reps-000-000.log"
    assert "foodexp given income; 235 rows, 176 train, 59 test inside; standardised" in (
        log.read_text()
    )
    assert project.jobs(config=f"table.yaml {SMALL_TABLE}") == {}
