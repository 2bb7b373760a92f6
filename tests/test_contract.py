"""Every study in the configuration meets the contract, and the contract suffices for a fifth."""

import shutil

import pandas as pd
import pyarrow.parquet as pq
import pytest
import yaml

from scripts.lib.code import ROOT, stamps
from scripts.lib.tables import RUN_COLUMNS, STATUSES, read_metadata
from tests.project import Project, copy_code

STUDIES = yaml.safe_load((ROOT / "config/config.yaml").read_text())["studies"]
STAGES = [path for study in STUDIES for path in (ROOT / "scripts" / study).glob("*.py")]


@pytest.fixture(scope="module")
def five(tmp_path_factory) -> Project:
    """A finished project with the study of tests/fifth_study added as CONTRIBUTING says."""
    project = Project(copy_code(tmp_path_factory.mktemp("five") / "project"))
    shutil.copytree(ROOT / "tests/fifth_study", project.folder, dirs_exist_ok=True)
    spine = 'include: "workflow/rules/spine.smk"'
    project.edit("Snakefile", spine, f'include: "workflow/rules/coin.smk"\n{spine}')
    project.edit("config/config.yaml", "studies: [", "studies: [coin, ")
    done = project.snakemake()
    assert done.returncode == 0, done.stderr + done.stdout
    return project


@pytest.mark.parametrize("study", ["coin", *STUDIES])
def test_run_rows_have_the_columns_of_the_contract(five, study):
    for path in (five.folder / f"results/{study}/runs").rglob("*.parquet"):
        table = pq.read_table(path)
        assert set(RUN_COLUMNS) <= set(table.column_names)
        assert set(table["status"].to_pylist()) <= set(STATUSES)
        assert set(table["study"].to_pylist()) == {study}
        assert set(table["arm"].to_pylist()) == {path.parent.name}


@pytest.mark.parametrize("study", ["coin", *STUDIES])
def test_arms_of_a_unit_share_its_seed(five, study):
    runs = pd.read_parquet(five.folder / f"results/{study}/runs.parquet")
    axes = ["bias", "rep"] if study == "coin" else ["law", "n", "rep"]
    assert (runs.groupby(axes)["seed"].nunique() == 1).all()


@pytest.mark.parametrize("study", ["coin", *STUDIES])
def test_every_table_says_where_it_comes_from_and_names_no_host_or_path(five, study):
    for path in (five.folder / f"results/{study}").rglob("*.parquet"):
        notes = read_metadata(path)
        assert {"commit", "dirty", "versions", "processor"} <= set(notes)
        assert str(five.folder) not in str(notes)
        assert "/root" not in str(notes)


def test_the_report_has_a_chapter_for_the_fifth_study(five):
    page = (five.folder / "results/report.html").read_text()
    assert "Biased coins" in page
    assert "Engression replications" in page


def test_a_value_of_one_study_reruns_that_study_only(five):
    (five.folder / "more.yaml").write_text(
        (five.folder / "tests/tiny.yaml").read_text() + "coin: {flips: 500}\n"
    )
    jobs = five.jobs("science", config="more.yaml")
    assert jobs == {"coin_load": 1, "coin_train": 2, "aggregate": 1, "agree": 1}


def test_rounds_are_interleaved_and_none_always_follows_the_same_one():
    from scripts.lib.workers import schedule

    entries = [{"contestant": name, "spec": {}} for name in "abc"]
    plan = [{"workload": "w", "trace_memory": False, "rounds": [[1], [2], [3]]}]
    calls = list(schedule([plan[0] | {"contestants": entries}]))
    assert "".join(call["contestant"] for call in calls) == "abcbcacab"
    assert [call["spec"]["units"] for call in calls] == [[1]] * 3 + [[2]] * 3 + [[3]] * 3


def test_no_study_imports_another_and_lib_imports_none():
    for stage in STAGES:
        own = stage.parent.name
        for stamp in stamps(stage.relative_to(ROOT).as_posix()):
            folder = stamp.split("/")[1]
            assert folder in ("lib", own) or folder.startswith("__init__"), f"{stage} uses {stamp}"
    for module in (ROOT / "scripts/lib").glob("*.py"):
        for stamp in stamps(module.relative_to(ROOT).as_posix()):
            assert stamp.startswith(("scripts/lib/", "scripts/__init__"))


def test_the_spine_imports_the_library_only():
    for script in (ROOT / "scripts/spine").glob("*.py"):
        for stamp in stamps(script.relative_to(ROOT).as_posix()):
            assert stamp.startswith(("scripts/lib/", "scripts/spine/", "scripts/__init__"))


def test_the_schema_knows_every_law_and_trainer_of_the_code():
    from scripts.engression.arms import ESTIMATORS, REFERENCES
    from scripts.engression.laws import LAWS

    schema = yaml.safe_load((ROOT / "workflow/schemas/engression.schema.yaml").read_text())
    trainer = schema["properties"]["arms"]["additionalProperties"]["properties"]["trainer"]
    assert schema["$defs"]["laws"]["items"]["enum"] == list(LAWS)
    assert set(trainer["enum"]) == set(ESTIMATORS) | set(REFERENCES)


def test_every_key_of_the_schemas_is_described_and_every_object_closed():
    def check(node, where):
        if node.get("type") == "object" and where != "config.schema.yaml":
            assert "additionalProperties" in node, f"{where} is open"
        for name, child in node.get("properties", {}).items():
            assert "description" in child, f"{where}.{name} has no description"
            check(child, f"{where}.{name}")

    for path in (ROOT / "workflow/schemas").glob("*.yaml"):
        check(yaml.safe_load(path.read_text()), path.name)
