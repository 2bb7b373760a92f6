"""Every study in the configuration meets the contract, and the contract suffices for a fifth."""

import shutil

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from scripts.lib.code import ROOT, stamps
from scripts.lib.faults import ConfigError
from scripts.lib.plan import Planned, PlannedWorkload, turns
from scripts.lib.run_rows import RUN_COLUMNS, STATUSES
from scripts.lib.table_files import read_metadata
from scripts.spine.new_study import new_study
from scripts.spine.schemas import schemas
from tests.conftest import copy_of
from tests.project import TINY, Project, axes_of
from tests.rule_files import read, shipped

STUDIES = yaml.safe_load((ROOT / "config/config.yaml").read_text())["studies"]
MODULES = [path for study in STUDIES for path in (ROOT / "scripts" / study).rglob("*.py")]
# These read the measurement, which waits for all studies.
LATE = ("lora_ablation_costs", "deep_gpcm_ladder")
BOTH = " ".join(TINY.values())


@pytest.fixture(scope="module")
def five(once, tmp_path_factory) -> Project:
    """A project of all studies with one more, made as `make study NAME=coin` makes it.

    It starts from finished studies, so that adding one trains nothing of them again.
    """
    project = copy_of(once("lora_ablation"), tmp_path_factory.mktemp("five") / "project")
    for study in ("engression", "deep_gpcm", "tep_bp"):
        for name in (f"results/{study}", ".snakemake/metadata"):
            source = once(study).folder / name
            shutil.copytree(source, project.folder / name, dirs_exist_ok=True)
    for study, path in TINY.items():
        project.edit(path, f"studies: [{study}]\n", "")
    new_study("coin", project.folder)
    jobs = project.jobs(config=BOTH)
    assert jobs["coin_train"] == 4
    assert not any(rule.startswith(tuple(STUDIES)) for rule in jobs if rule not in LATE)
    project.make(config=BOTH)
    return project


def announced(study: str) -> tuple[dict[str, str], list[str]]:
    """Metrics and phases that a study announces."""
    if study == "coin":
        return {"heads": "number", "n_flips": "number"}, ["eval"]
    known = read(shipped())["STUDY"][study]
    return known.metrics, known.phases


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
    axes = axes_of(pq.read_table(five.folder / f"results/{study}/runs.parquet"))
    assert (runs.groupby(axes)["seed"].nunique() == 1).all()
    # Learning rules are compared pairwise: trials of one number share their seed, as do repeats.
    units = ["stage", "trial"] if study == "tep_bp" else axes
    runs = runs[runs["stage"] != "repeat"] if study == "tep_bp" else runs
    assert runs["seed"].nunique() == len(runs[units].drop_duplicates())


@pytest.mark.parametrize("study", ["coin", *STUDIES])
def test_every_table_says_where_it_comes_from_and_names_no_host_or_path(five, study):
    for path in (five.folder / f"results/{study}").rglob("*.parquet"):
        notes = read_metadata(path)
        assert {"commit", "dirty", "versions", "processor"} <= set(notes)
        assert str(five.folder) not in str(notes)
        assert "/root" not in str(notes)


@pytest.mark.parametrize("study", ["coin", *STUDIES])
def test_run_rows_hold_no_metric_that_the_study_does_not_announce(five, study):
    metrics, phases = announced(study)
    known = {*RUN_COLUMNS, "instruction_set", *metrics, *(f"{phase}_s" for phase in phases)}
    table = pq.read_table(five.folder / f"results/{study}/runs.parquet")
    assert set(table.column_names) - set(axes_of(table)) <= known


# By no arm of the tiny runs.
RARE = {"tep_bp": {"gradient_cosine", "nudged_iterations"}}


@pytest.mark.parametrize("study", ["coin", *STUDIES])
def test_every_announced_metric_is_of_some_arm_and_of_its_kind(five, study):
    table = pq.read_table(five.folder / f"results/{study}/runs.parquet")
    for name, kind in announced(study)[0].items():
        if name in table.column_names and kind != "label":
            type_ = table.schema.field(name).type
            assert pa.types.is_list(type_) == (kind == "list"), name
        if kind == "flag":
            assert set(table[name].drop_null().to_pylist()) <= {0, 1}, name
        assert name in table.column_names or name in RARE.get(study, ()), name


@pytest.mark.parametrize("study", ["coin", *STUDIES])
def test_every_announced_phase_is_timed(five, study):
    measured = pq.read_table(five.folder / f"results/{study}/measurements.parquet")
    runs = pq.read_table(five.folder / f"results/{study}/runs.parquet")
    timed = {*measured.column_names, *runs.column_names}
    rare = {"train", "compile"}  # of the work `total`, and of the proposal `compiled`
    assert {f"{phase}_s" for phase in announced(study)[1] if phase not in rare} <= timed


def test_a_name_that_the_fifth_study_lacks_is_refused(five):
    for line in (
        "measure: {contestants: {more: {arm: vectr}}}",
        "report: {figure: {metric: inertai}}",
        "summary: {means: [head]}",
    ):
        (five.folder / "wrong.yaml").write_text(f"coin: {{{line}}}\n")
        done = five.snakemake("--dry-run", config=f"{BOTH} wrong.yaml")
        assert done.returncode != 0
        assert "Config: coin." in done.stdout + done.stderr
        assert "Traceback" not in done.stdout + done.stderr


def test_the_report_has_a_chapter_for_the_fifth_study(five):
    page = (five.folder / "results/report.html").read_text()
    assert "Biased coins" in page
    for study in STUDIES:
        assert f'id="{study}"' in page


def test_a_value_of_one_study_reruns_that_study_only(five):
    (five.folder / "more.yaml").write_text("coin: {flips: 500}\n")
    jobs = five.jobs("science", config=f"{BOTH} more.yaml")
    assert jobs == {"coin_load": 2, "coin_train": 4, "aggregate": 1, "agree": 1}


def test_a_study_is_two_files_of_ninety_lines_and_one_edited_line(fresh):
    before = {path: path.read_bytes() for path in fresh.folder.rglob("*") if path.is_file()}
    made = [fresh.folder / path for path in new_study("coin", fresh.folder)]
    after = {path: path.read_bytes() for path in fresh.folder.rglob("*") if path.is_file()}
    assert after.keys() - before.keys() == set(made)
    assert len(made) == 2
    assert sum(len(path.read_text().splitlines()) for path in made) <= 90
    (edited,) = [path for path in before if before[path] != after[path]]
    lines = zip(before[edited].splitlines(), after[edited].splitlines(), strict=True)
    assert sum(old != new for old, new in lines) == 1


@pytest.mark.parametrize(
    "name", ["", "Coin", "1st", "a-b", "lib", "engression", "../x", "class", "seed", "records"]
)
def test_a_name_that_no_study_can_have_is_refused_in_a_sentence(fresh, name):
    with pytest.raises(ConfigError, match=r"^NAME is '[^\n]*\.$"):
        new_study(name, fresh.folder)


def test_the_fifth_study_resumes_by_unit(five, tmp_path):
    project = copy_of(five, tmp_path / "project")
    units = sorted((project.folder / "results/coin/units").rglob("*.json"))
    assert len(units) == 16
    units[0].unlink()
    written = {path: path.stat().st_mtime_ns for path in units[1:]}
    for path in (project.folder / "results/coin/runs").rglob("*.parquet"):
        path.unlink()
    project.make("science", config=BOTH)
    assert units[0].exists()
    assert {path: path.stat().st_mtime_ns for path in written} == written


def test_an_edit_of_one_implementation_reruns_its_arm_alone(five, tmp_path):
    project = copy_of(five, tmp_path / "project")
    project.edit("scripts/coin/study.py", "float(np.mean(flips))", "float(flips.mean())")
    jobs = project.jobs("science", config=BOTH)
    assert jobs == {"coin_train": 2, "aggregate": 1, "agree": 1}


def test_a_new_arm_is_one_function_and_one_entry(five, tmp_path):
    project = copy_of(five, tmp_path / "project")
    module = project.folder / "scripts/coin/study.py"
    function = "\n\n@implementation\ndef counted(unit: Unit) -> dict[str, float]:\n    "
    function += "heads = np.count_nonzero(unit.data['flips'])\n    "
    function += "return {'heads': heads / unit.settings.flips, 'n_flips': unit.settings.flips}\n"
    module.write_text(module.read_text() + function)
    entry = "    counted:\n      about: Counted.\n      role: implementation\n"
    entry += "      claim: {level: rounding, close: {heads: 1.0e-9}}\n"
    project.edit("config/coin.yaml", "  agreement:", f"{entry}  agreement:")
    jobs = project.jobs("science", config=BOTH)
    assert jobs == {"coin_train": 2, "aggregate": 1, "agree": 1}
    project.make(config=BOTH)
    page = (project.folder / "results/report.html").read_text()
    ratios = pd.read_csv(project.folder / "results/ratios.csv")
    agreement = pd.read_csv(project.folder / "results/coin/agreement.csv")
    assert set(agreement["arm"]) == {"vector", "counted"}
    assert "counted" in set(ratios.loc[ratios["study"] == "coin", "faster"])
    assert "counted" in page[page.index('id="coin"') :]


def test_rounds_are_interleaved_and_none_always_follows_the_same_one():
    labels = {"arm": "a", "workers": 1, "threads": 1, "job": {}}
    entries = [Planned(contestant=name, **labels) for name in "abc"]
    plan = PlannedWorkload(
        workload="w", where="", trace_memory=False, budget_s=1.0, baseline="a", again="b",
        rounds=[[1], [2], [3]], contestants=entries,
    )  # fmt: skip
    calls = [call for number in (1, 2, 3) for call in turns(plan, number)]
    assert "".join(call.contestant for call in calls) == "abcbcacab"
    assert [call.units for call in calls] == [[1]] * 3 + [[2]] * 3 + [[3]] * 3


def test_no_study_imports_another_and_lib_imports_none():
    for module in MODULES:
        path = module.relative_to(ROOT).as_posix()
        own = path.split("/")[1]
        for stamp in stamps(path):
            folder = stamp.split("/")[1]
            assert folder in ("lib", own) or folder.startswith("__init__"), f"{path} uses {stamp}"
    for module in (ROOT / "scripts/lib").glob("*.py"):
        for stamp in stamps(module.relative_to(ROOT).as_posix()):
            assert stamp.startswith(("scripts/lib/", "scripts/__init__"))


def test_the_spine_imports_the_library_only():
    for script in (ROOT / "scripts/spine").glob("*.py"):
        for stamp in stamps(script.relative_to(ROOT).as_posix()):
            assert stamp.startswith(("scripts/lib/", "scripts/spine/", "scripts/__init__"))


def check_schema(node: dict, where: str, definitions: dict) -> None:
    """Every object below `node` says what else it may hold, every key what it means, and every
    whole number how large it may be: nothing is planned that no machine can hold."""
    if node.get("type") == "integer":
        assert "maximum" in node or "enum" in node, f"{where} is boundless"
    if node.get("type") == "object":
        assert "additionalProperties" in node, f"{where} is open"
    for name, child in node.get("properties", {}).items():
        meant = definitions.get(child.get("$ref", "").rpartition("/")[2], child)
        fixed = "const" in child  # the kind of a mapping, which the mapping describes
        assert fixed or "description" in {**meant, **child}, f"{where}.{name} has no description"
        check_schema(child, f"{where}.{name}", definitions)
    for name, child in node.get("$defs", {}).items():
        check_schema(child, f"{where}#{name}", definitions)
    for key in ("additionalProperties", "items"):
        if isinstance(node.get(key), dict):
            check_schema(node[key], f"{where}.*", definitions)


@pytest.mark.parametrize("path", schemas(), ids=lambda path: path.name)
def test_every_key_of_a_section_is_described_and_every_object_closed(path):
    schema = schemas()[path]
    if path.name != "config.schema.yaml":
        (section,) = schema["properties"].values()
        schema = section | {"$defs": schema["$defs"]}
    check_schema(schema, path.name, schema["$defs"])


@pytest.mark.parametrize("path", schemas(), ids=lambda path: path.name)
def test_the_schema_of_an_editor_is_that_of_the_models(path):
    assert yaml.safe_load(path.read_text()) == schemas()[path], "run: make schemas"
