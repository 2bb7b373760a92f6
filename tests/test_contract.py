"""Every study in the configuration meets the contract, and the contract suffices for a fifth."""

import importlib
import shutil

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from scripts.lib.code import ROOT, stamps
from scripts.lib.tables import RUN_COLUMNS, STATUSES, read_metadata
from tests.conftest import copy_of
from tests.project import TINY, Project, axes_of

STUDIES = yaml.safe_load((ROOT / "config/config.yaml").read_text())["studies"]
MODULES = [path for study in STUDIES for path in (ROOT / "scripts" / study).rglob("*.py")]
SCHEMAS = ROOT / "workflow/schemas"
# These read the measurement, which waits for all studies.
LATE = ("lora_ablation_costs", "deep_gpcm_ladder", "deep_gpcm_draw")
BOTH = " ".join(TINY.values())


@pytest.fixture(scope="module")
def five(once, tmp_path_factory) -> Project:
    """A project of all studies with that of tests/fifth_study added as CONTRIBUTING says.

    It starts from finished studies, so that adding one trains nothing of them again.
    """
    project = copy_of(once("lora_ablation"), tmp_path_factory.mktemp("five") / "project")
    for study in ("engression", "deep_gpcm", "tep_bp"):
        for name in (f"results/{study}", ".snakemake/metadata"):
            source = once(study).folder / name
            shutil.copytree(source, project.folder / name, dirs_exist_ok=True)
    for study, path in TINY.items():
        project.edit(path, f"studies: [{study}]\n", "")
    shutil.copytree(ROOT / "tests/fifth_study", project.folder, dirs_exist_ok=True)
    spine = 'include: "workflow/rules/spine.smk"'
    project.edit("Snakefile", spine, f'include: "workflow/rules/coin.smk"\n{spine}')
    project.edit("config/config.yaml", "studies: [", "studies: [coin, ")
    jobs = project.jobs(config=BOTH)
    assert jobs["coin_train"] == 2
    assert not any(rule.startswith(tuple(STUDIES)) for rule in jobs if rule not in LATE)
    project.make(config=BOTH)
    return project


def announced(study: str) -> tuple[dict[str, str], list[str]]:
    """What workflow/rules/<study>.smk puts into METRICS and PHASES."""
    if study == "coin":
        return {"heads": "number", "n_flips": "number"}, ["flip"]
    names = importlib.import_module(f"scripts.{study}.names")
    return names.METRICS, names.PHASES


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
    known = {*RUN_COLUMNS, *metrics, *(f"{phase}_s" for phase in phases)}
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
        "measure: {contestants: {vector: {arm: vectr}}}",
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
    assert jobs == {"coin_load": 1, "coin_train": 2, "aggregate": 1, "agree": 1}


def test_rounds_are_interleaved_and_none_always_follows_the_same_one():
    from scripts.lib.workers import schedule

    entries = [{"contestant": name, "spec": {}} for name in "abc"]
    plan = [{"workload": "w", "trace_memory": False, "rounds": [[1], [2], [3]]}]
    calls = list(schedule([plan[0] | {"contestants": entries}]))
    assert "".join(call["contestant"] for call in calls) == "abcbcacab"
    assert [call["spec"]["units"] for call in calls] == [[1]] * 3 + [[2]] * 3 + [[3]] * 3


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


def schema_of(study: str) -> dict:
    return yaml.safe_load((SCHEMAS / f"{study}.schema.yaml").read_text())


def enum(schema: dict, *keys: str) -> list[str]:
    """Allowed values of the key with this place; "*" stands for any name."""
    node = schema
    for key in keys:
        node = node["additionalProperties"] if key == "*" else node["properties"][key]
    return node["enum"]


def test_the_schema_of_engression_knows_every_law_and_trainer_of_the_code():
    from scripts.engression.arms import ESTIMATORS, REFERENCES

    from scripts.engression.laws import LAWS

    schema = schema_of("engression")
    assert schema["$defs"]["laws"]["items"]["enum"] == list(LAWS)
    assert set(enum(schema, "arms", "*", "trainer")) == set(ESTIMATORS) | set(REFERENCES)


def test_the_schema_of_the_ablation_knows_every_way_of_the_code():
    from scripts.lora_ablation.adapters.sources import KINDS
    from scripts.lora_ablation.check import ARMS_OF_WORK, KEYS_OF_WORK, SOURCE_KEYS, STAGES_OF_WORK
    from scripts.lora_ablation.measured import FFT, SVD, WORK
    from scripts.lora_ablation.ways import FEATURES, LOADERS

    schema = schema_of("lora_ablation")
    config = yaml.safe_load((ROOT / "config/lora_ablation.yaml").read_text())["lora_ablation"]
    trainers = {arm["trainer"] for arm in config["arms"].values() if "trainer" in arm}
    assert set(enum(schema, "arms", "*", "load")) == set(LOADERS)
    assert set(enum(schema, "arms", "*", "features")) == set(FEATURES)
    assert set(enum(schema, "arms", "*", "trainer")) == trainers
    assert set(enum(schema, "measure", "workloads", "*", "work")) == set(WORK)
    assert enum(schema, "sources", "*", "kind") == list(KINDS)
    assert set(SOURCE_KEYS) == set(KINDS)
    assert set(STAGES_OF_WORK) == set(KEYS_OF_WORK) == set(WORK)
    assert {work: set(arms) for work, arms in ARMS_OF_WORK.items()} == {
        "svd": set(SVD),
        "fft": set(FFT),
    }


def test_the_schema_of_deep_gpcm_knows_every_way_of_the_code():
    from scripts.deep_gpcm.irt.baselines import ARMS
    from scripts.deep_gpcm.measured import WORK
    from scripts.deep_gpcm.model.evaluation import HEADS, MEMORIES, MODELS
    from scripts.deep_gpcm.model.network import EMBEDDINGS
    from scripts.deep_gpcm.sequences.matrix import TABLES
    from scripts.deep_gpcm.sequences.sources import SOURCE_KEYS
    from scripts.deep_gpcm.training.loaders import LOADERS
    from scripts.deep_gpcm.training.steps import STEPS

    schema = schema_of("deep_gpcm")
    arm = {key: set(enum(schema, "arms", "*", key)) for key in ("evaluation", "memory", "baseline")}
    assert arm == {"evaluation": set(MODELS), "memory": set(MEMORIES), "baseline": set(ARMS)}
    heads = enum(schema, "arms", "*", "heads") + enum(schema, "arms", "*", "inference")
    assert set(heads) == set(HEADS)
    assert set(enum(schema, "arms", "*", "loader")) == set(LOADERS)
    assert set(enum(schema, "arms", "*", "step")) == set(STEPS)
    assert set(enum(schema["$defs"]["model"], "embedding")) == set(EMBEDDINGS)
    assert set(enum(schema, "sources", "*", "kind")) == set(SOURCE_KEYS)
    assert set(enum(schema, "sources", "*", "table")) == set(TABLES)
    assert set(enum(schema, "measure", "workloads", "*", "work")) == set(WORK)


def check_schema(node: dict, where: str) -> None:
    """Every object below `node` says what else it may hold, every key what it means, and every
    whole number how large it may be: nothing is planned that no machine can hold."""
    if node.get("type") == "integer":
        assert "maximum" in node, f"{where} is boundless"
    if node.get("type") == "object":
        assert "additionalProperties" in node, f"{where} is open"
    for name, child in node.get("properties", {}).items():
        assert "description" in child, f"{where}.{name} has no description"
        check_schema(child, f"{where}.{name}")
    for name, child in node.get("$defs", {}).items():
        check_schema(child, f"{where}#{name}")
    for key in ("additionalProperties", "items"):
        if isinstance(node.get(key), dict):
            check_schema(node[key], f"{where}.*")


@pytest.mark.parametrize("path", sorted(SCHEMAS.glob("*.yaml")), ids=lambda path: path.name)
def test_every_key_of_a_schema_is_described_and_every_object_closed(path):
    schema = yaml.safe_load(path.read_text())
    assert "description" in schema
    if path.name == "config.schema.yaml":  # sections of studies stand beside its keys
        schema["additionalProperties"] = False
    check_schema(schema, path.name)


def test_the_schema_of_the_search_knows_every_way_of_the_code():
    from scripts.tep_bp.data.sources import TASK_KEYS
    from scripts.tep_bp.measured import WORK
    from scripts.tep_bp.models.legacy.fit import SWITCHES
    from scripts.tep_bp.models.reference.rules import RULES
    from scripts.tep_bp.models.stacked.rules import GRADIENTS
    from scripts.tep_bp.plans.sampling import SAMPLERS
    from scripts.tep_bp.plans.space import ACTIVATIONS, DIMENSIONS
    from scripts.tep_bp.unit import TRAINERS

    schema = schema_of("tep_bp")
    assert enum(schema, "tasks", "*", "kind") == list(TASK_KEYS)
    assert schema["$defs"]["activation"]["enum"] == list(ACTIVATIONS)
    assert set(schema["$defs"]["rule"]["enum"]) == set(RULES) == set(GRADIENTS)
    assert set(schema["properties"]["space"]["properties"]) == set(DIMENSIONS)
    assert enum(schema, "search", "sampler") == list(SAMPLERS)
    assert set(enum(schema, "arms", "*", "trainer")) == set(TRAINERS)
    assert set(enum(schema, "measure", "workloads", "*", "work")) == set(WORK)
    faults = schema["properties"]["arms"]["additionalProperties"]["properties"]["faults"]
    for switch in ("nudge", "stop"):
        assert set(faults["properties"][switch]["enum"]) == set(SWITCHES[switch])
    assert set(schema["$defs"]["difference"]["enum"]) == set(SWITCHES["difference"])
