"""Which jobs there are and what each is given."""

import copy
from functools import partial
from itertools import combinations

import pytest

from scripts.lib.config import ConfigError
from scripts.lib.plan import measurement_plan
from scripts.lib.spec import canonical
from scripts.lora_ablation import jobs
from scripts.lora_ablation.check import STAGES_OF_WORK, check_lora_ablation
from scripts.lora_ablation.data.cell import cell_jobs
from scripts.lora_ablation.data.layout import Layout
from scripts.lora_ablation.measured import WORK
from scripts.lora_ablation.representations.catalogue import (
    FAMILIES,
    PAIR_FAMILIES,
    REPRESENTATIONS,
)
from tests.lora_cells import configuration

LAYOUT = Layout.of(
    {f"unet.x.attn{a}.to_q.lora.{side}.weight": (1, 2) for a in "12" for side in ("down", "up")}
)
N = 7


@pytest.fixture
def config() -> dict:
    return configuration()


def changed(**sections) -> dict:
    """The configuration with keys of its sections replaced, {"run": {"resident": {...}}}."""
    made = copy.deepcopy(configuration())
    for name, value in sections.items():
        made[name] = made[name] | value if isinstance(value, dict) else value
    return made


def test_a_shard_is_a_fixed_range_so_more_adapters_leave_full_ones_alone(config):
    few, many = (jobs.shards(config | {"shard": 500}, n) for n in (1200, 2700))
    assert few == {
        "adapters-000000-000499": (0, 500),
        "adapters-000500-000999": (500, 1000),
        "adapters-001000-001199": (1000, 1200),
    }
    assert {name: many[name] for name in list(few)[:2]} == dict(list(few.items())[:2])
    assert "adapters-001000-001199" not in many
    rows = [row for start, stop in many.values() for row in range(start, stop)]
    assert rows == list(range(2700))


def test_run_limits_the_cells_of_an_arm(config):
    assert jobs.cells(config, "reference") == [
        (name, "all", 100) for name in ("simple_stats", "spectral", "matrix_norms")
    ]
    assert jobs.cells(config, "guide") == []
    assert jobs.cells(config, "columns") == []
    grid = [(name, layers) for name in config["representations"] for layers in config["layers"]]
    every = jobs.cells(config, "resident")
    assert [cell[:2] for cell in every if cell[2] == 100] == grid
    assert [cell for cell in every if cell[2] < 100] == [
        (name, "all", share) for name in ("simple_stats", "ensemble") for share in (25, 50)
    ]
    planned = jobs.training_jobs(config, 42)
    all_, visual, _ = planned["resident", "stats-0"]["cells"]
    assert [cell["tensors"] for cell in (all_, visual)] == ["all", "visual"]
    assert len(visual["units"]) == config["runs"] == 3
    assert [len(cell["units"]) for cell in planned["reference", "spectral-0"]["cells"]] == [2]
    assert not [cells for arm, cells in planned if arm == "scripted"]


def test_a_job_has_cells_of_one_representation_and_no_more_than_a_block(config):
    cells = {}
    for size in (1, 2, 5):
        planned = jobs.training_jobs(config | {"block": size}, 42)
        assert max(len(job["cells"]) for job in planned.values()) == size
        for (_, name), job in planned.items():
            (representation,) = {unit[1] for cell in job["cells"] for unit in cell["units"]}
            assert name.rpartition("-")[0] == representation
            assert job["columns"] == jobs.columns(representation)
        # Cut differently, the cells of an arm are given the same.
        cells[size] = sorted(canonical(cell) for job in planned.values() for cell in cell_jobs(job))
    assert cells[1] == cells[2] == cells[5]
    assert len(cells[1]) == sum(len(jobs.cells(config, arm)) for arm in config["run"])


def test_the_expected_grid_is_every_run_of_the_result_arm(config):
    planned = jobs.training_jobs(config, 42)
    units = [
        unit[1:]
        for (arm, _), job in planned.items()
        if arm == "resident"
        for cell in job["cells"]
        for unit in cell["units"]
    ]
    assert sorted(jobs.expected(config)) == sorted(units)
    cells = len(config["representations"]) * len(config["layers"]) + 4
    assert len(units) == cells * config["runs"]


def test_more_runs_or_representations_change_no_other_unit(config):
    before = jobs.training_jobs(config, 42)
    after = jobs.training_jobs(config | {"runs": 5, "representations": ["stats", "product"]}, 42)
    old, new = (cell_jobs(planned["resident", "stats-0"])[0] for planned in (before, after))
    assert new["units"][:3] == old["units"]
    assert old | {"units": []} == new | {"units": []}


def test_every_representation_of_the_configuration_is_made_of_columns_that_exist(config):
    families = FAMILIES | PAIR_FAMILIES
    for name in [*config["representations"], "product"]:
        found = jobs.columns(name)
        assert [[family, number] for family, number, _ in found] == REPRESENTATIONS[name]
        for family, number, position in found:
            assert families[family][position] == number
            job = jobs.family_job(family)
            assert job["k"] == len(job["names"])
            assert job["names"][position] == number
            assert job["pairs"] is (name == "product")
    assert jobs.columns(jobs.WEIGHTS) == []
    job = jobs.training_job(config, 42, "resident", [("flat_vec", "all", 100)])
    assert jobs.feature_files(job) == ["<results>/lora_ablation/tensors/{shard}.npy"]
    job = jobs.training_job(config, 42, "resident", [("simple_stats", "all", 100)])
    folder = "<results>/lora_ablation/features"
    assert jobs.feature_files(job) == [
        f"{folder}/{family}/{{shard}}.parquet" for family in ("norms", "moments", "quantiles")
    ]


def test_an_arm_changes_only_the_training_that_it_names(config):
    planned = {
        arm: jobs.training_job(config, 42, arm, [("spectral", "all", 100)])
        for arm in ("resident", "batch_256", "half_layers", "legacy_cond")
    }
    base = planned["resident"]
    assert base["train"] == config["train"]
    assert planned["batch_256"]["train"] == base["train"] | {"batch": 256}
    (cell,), (base_cell,) = planned["half_layers"]["cells"], base["cells"]
    assert cell == {"tensors": "half0", "units": base_cell["units"][:2]}
    assert planned["legacy_cond"]["train"]["legacy_cond"] is True
    shorter = jobs.training_job(config, 42, "resident", [("spectral", "all", 100)], max_epochs=4)
    assert shorter["train"] == base["train"] | {"max_epochs": 4}


def measured(config):
    return measurement_plan(config["measure"], jobs.rounds, partial(jobs.measured_job, config, 42))


def test_rounds_of_measured_work_have_units_of_their_own(config):
    for workload in measured(config):
        rounds = workload["rounds"]
        flat = [tuple(unit) for units in rounds for unit in units]
        assert len(set(flat)) == len(flat)
        options = config["measure"]["workloads"][workload["workload"]]
        assert len(rounds) == (options["repeats"] + 1 if options["repeats"] else 0)
        if options["work"] in ("load", "features"):
            ranges = [set(range(start, stop)) for _, start, stop in flat]
            assert all(not a & b for a, b in combinations(ranges, 2))
            assert {
                len(set().union(*(range(*unit[1:]) for unit in units))) for units in rounds
            } == {options["adapters"]}
            assert max(map(max, ranges)) < jobs.nested_adapters(config)
    halves = jobs.adapter_blocks({"work": "features", "adapters": 9}, 2)
    assert halves == [["features", 18, 22], ["features", 22, 27]]
    assert jobs.adapter_blocks({"work": "load", "adapters": 9}, 0) == [["load", 0, 9]]


def test_contestants_of_a_workload_differ_only_in_their_arm(config):
    by_name = {w["workload"]: w for w in measured(config)}
    reference, again, *others = by_name["train"]["contestants"]
    assert reference | {"contestant": "reference_again"} == again
    assert by_name["train"]["where"] == "train"
    epochs = config["measure"]["workloads"]["train"]["max_epochs"]
    for other in others:
        assert other["spec"]["train"] == reference["spec"]["train"] | {"max_epochs": epochs}
        assert other["spec"]["columns"] == reference["spec"]["columns"]
    assert [entry["workers"] for entry in others] == [1, 1, config["measure"]["workers"]]
    assert set(jobs.measured_families(config)) == {"norms", "moments", "quantiles", "spectral"}
    assert set(STAGES_OF_WORK) == set(WORK)


GENERATED = {
    "kind": "generated",
    "adapters": 4,
    "rank": 1,
    "signal": {"attn1": 0, "attn2": 0, "leaf": 0},
}
MISTAKES = {
    "unknown representation": (
        {"representations": ["simple_stat"]},
        "lora_ablation.representations is 'simple_stat' (did you mean 'simple_stats'?)",
    ),
    "curve of nothing": (
        {"curves": {"representations": ["product"]}},
        "lora_ablation.curves.representations is 'product'",
    ),
    "source that is not there": ({"source": "mine"}, "lora_ablation.source is 'mine'"),
    "source without a key": (
        {"sources": {"mine": {"kind": "hub", "id": "a/b", "split": "train"}}},
        "lora_ablation.sources.mine.adapters is missing; hub needs it.",
    ),
    "source with a foreign key": (
        {"sources": {"mine": GENERATED | {"path": "x"}}},
        "lora_ablation.sources.mine: a key of generated is 'path'",
    ),
    "arm that does not exist": (
        {"run": {"residnet": {}}},
        "lora_ablation.run: arm is 'residnet' (did you mean 'resident'?)",
    ),
    "arm that cannot train": (
        {"run": {"columns": {}}},
        "lora_ablation.run.columns is to train cells, but the arm has no trainer.",
    ),
    "comparison of an arm that only trains": (
        {"prepare": {"arms": ["reference", "stacked"]}},
        "lora_ablation.prepare.arms has stacked, which neither loads nor computes features.",
    ),
    "comparison of nobody": (
        {"prepare": {"arms": ["reference", "colums"]}},
        "lora_ablation.prepare.arms is 'colums' (did you mean 'columns'?)",
    ),
    "more runs than there are": (
        {"run": {"reference": {"runs": 9}}},
        "lora_ablation.run.reference.runs is 9, more than runs.",
    ),
    "layers outside the design": (
        {"run": {"reference": {"layers": ["half7"]}}},
        "lora_ablation.run.reference.layers is 'half7'",
    ),
}


def test_the_default_configuration_has_no_mistake(config):
    check_lora_ablation(config)
    config["run"]["columns"] = {"runs": 0}
    check_lora_ablation(config | {"representations": [*REPRESENTATIONS, jobs.WEIGHTS]})


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_named_with_its_place(mistake):
    sections, sentence = MISTAKES[mistake]
    with pytest.raises(ConfigError) as refused:
        check_lora_ablation(changed(**sections))
    assert f"Config: {sentence}" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_workload_whose_arm_lacks_the_stage_is_refused(config):
    workloads = config["measure"]["workloads"]
    workloads["train"]["contestants"] = ["reference", "columns"]
    with pytest.raises(ConfigError, match="measures columns, but the arm columns has no trainer"):
        check_lora_ablation(config)
    workloads["train"] |= {"contestants": ["reference"], "representations": ["product"]}
    with pytest.raises(ConfigError, match=r"workloads\.train\.representations is 'product'"):
        check_lora_ablation(config)
