"""Which jobs there are and what each is given."""

from itertools import combinations
from typing import get_args

import pytest

from scripts.lib.config import ConfigError, read_settings
from scripts.lib.implementations import implementations
from scripts.lib.plan import PlannedWorkload, measurement_plan
from scripts.lib.spec import canonical
from scripts.lora_ablation import unit
from scripts.lora_ablation.checks import WEIGHTS
from scripts.lora_ablation.jobs import Jobs, adapter_blocks, round_units, study
from scripts.lora_ablation.measured import FFT, SVD, WORK
from scripts.lora_ablation.representations.catalogue import (
    FAMILIES,
    PAIR_FAMILIES,
    REPRESENTATIONS,
    columns,
    family_job,
)
from scripts.lora_ablation.settings import FftWorkload, Section, SvdWorkload
from scripts.lora_ablation.specs import EARLY, Extractor, Loader, Measured, TotalWork, Trainer
from tests.lora_cells import configuration, section


def changed(**sections) -> Section:
    """The configuration with keys of its sections replaced, {"arms": {"resident": {...}}}."""
    return read_settings(Section, merged(configuration(), sections), "lora_ablation")


def merged(config: dict, changes: dict) -> dict:
    """A configuration under an overlay, as Snakemake lays it."""
    inner = {
        key: merged(config[key], value)
        for key, value in changes.items()
        if isinstance(value, dict) and isinstance(config.get(key), dict)
    }
    return config | changes | inner


def jobs(**sections) -> Jobs:
    return Jobs(changed(**sections), 42)


def shards(adapters: int) -> dict[str, tuple[int, int]]:
    return jobs(shard=500, sources={"generated": {"adapters": adapters}}).shards


def test_a_shard_is_a_fixed_range_so_more_adapters_leave_full_ones_alone():
    few, many = shards(1200), shards(2700)
    assert few == {
        "adapters-000000-000499": (0, 500),
        "adapters-000500-000999": (500, 1000),
        "adapters-001000-001199": (1000, 1200),
    }
    assert {name: many[name] for name in list(few)[:2]} == dict(list(few.items())[:2])
    assert "adapters-001000-001199" not in many
    rows = [row for start, stop in many.values() for row in range(start, stop)]
    assert rows == list(range(2700))


def test_a_full_shard_is_told_the_same_when_adapters_are_added():
    few, many = (
        jobs(shard=500, sources={"generated": {"adapters": n}}).loads for n in (1200, 2700)
    )
    same = [name for name in few if canonical(few[name]) == canonical(many.get(name))]
    assert same == ["adapters-000000-000499", "adapters-000500-000999"]


def test_run_limits_the_cells_of_an_arm():
    made = jobs()
    config, planned = made.section, made.trains
    assert config.cells("reference") == [
        (name, "all", 100) for name in ("simple_stats", "spectral", "matrix_norms")
    ]
    assert config.cells("guide") == config.cells("truth") == []
    assert config.cells("columns") == []
    grid = [(name, chosen) for name in config.representations for chosen in config.selections]
    every = config.cells("resident")
    assert [cell[:2] for cell in every if cell[2] == 100] == grid
    assert [cell for cell in every if cell[2] < 100] == [
        (name, "all", share) for name in ("simple_stats", "ensemble") for share in (25, 50)
    ]
    all_, visual, _ = planned["resident", "stats-0"].cells()
    assert [cell.units[0][2] for cell in (all_, visual)] == ["all", "visual"]
    assert len(visual.units) == config.runs == 3
    assert [len(cell.units) for cell in planned["reference", "spectral-0"].cells()] == [2]
    assert not [cells for arm, cells in planned if arm == "scripted"]


def test_a_job_has_cells_of_one_representation_and_no_more_than_a_block():
    cells, config = {}, jobs().section
    for size in (1, 2, 5):
        planned = jobs(block=size).trains
        whole = [sum(cell.units[0][0] != EARLY for cell in job.cells()) for job in planned.values()]
        assert max(whole) == size
        for (_, name), job in planned.items():
            (representation,) = {unit[1] for unit in job.units}
            assert name.rpartition("-")[0] == representation
            assert job.columns == columns(representation)
        # Cut differently, the cells of an arm are given the same.
        cells[size] = sorted(canonical(cell) for job in planned.values() for cell in job.cells())
    assert cells[1] == cells[2] == cells[5]
    early = [arm for arm in config.arms if config.early_of(arm)]
    assert len(cells[1]) == len(early) + sum(len(config.cells(arm)) for arm in config.arms)


def test_the_expected_grid_is_every_run_of_the_result_arm():
    made = jobs()
    config = made.section
    units = [
        unit[1:]
        for (arm, _), job in made.trains.items()
        for unit in job.units
        if arm == "resident" and unit[0] != EARLY
    ]
    assert sorted(made.tables().expected) == sorted(units)
    cells = len(config.representations) * len(config.selections) + 4
    assert len(units) == cells * config.runs


def test_more_runs_or_representations_change_no_other_unit():
    few = {"arms": {arm: {"run": {"runs": 0}} for arm in ("reference", "stacked", "legacy_noise")}}
    few["arms"] |= {name: {"run": {"runs": 0}} for name in ("legacy_cond", "legacy_restore")}
    few["arms"] |= {
        name: {"run": {"runs": 0}}
        for name in ("batch_256", "epochs_200", "aggressive", "half_layers")
    }
    few |= {"curves": {"representations": []}, "early": {"representations": ["stats"]}}
    trained = ("train", "scaler", "products", "total")
    few |= {"measure": {"workloads": {name: {"representations": ["stats"]} for name in trained}}}
    more = {"runs": 5, "representations": ["stats", "product"]}
    old, new = (
        next(made.trains["resident", "stats-0"].cells()) for made in (jobs(), jobs(**few, **more))
    )
    assert new.units[:3] == old.units
    assert old.model_copy(update={"units": []}) == new.model_copy(update={"units": []})


def test_every_representation_of_the_configuration_is_made_of_columns_that_exist():
    families = FAMILIES | PAIR_FAMILIES
    for name in [*section().representations, "product"]:
        found = columns(name)
        assert [[column.family, column.number] for column in found] == REPRESENTATIONS[name]
        for column in found:
            assert families[column.family][column.position] == column.number
            job = family_job(column.family)
            assert job.names[column.position] == column.number
            assert job.pairs is (name == "product")
    assert columns(WEIGHTS) == []


def test_a_job_reads_the_families_of_its_representation_or_the_weights():
    made = jobs(representations=[*section().representations, WEIGHTS])
    folder = "<results>/lora_ablation"
    assert made.reads("resident", "flat_vec-0") == [
        f"{folder}/tensors/{shard}.npy" for shard in made.shards
    ]
    assert made.reads("resident", "simple_stats-0") == [
        f"{folder}/features/{family}/{shard}.parquet"
        for family in ("norms", "moments", "quantiles")
        for shard in made.shards
    ]


def test_an_arm_changes_only_the_training_that_it_names():
    made = jobs()
    base, batch, half, cond = (
        made.train(arm, "spectral", [("spectral", "all", 100)])
        for arm in ("resident", "batch_256", "half_layers", "legacy_cond")
    )
    assert base.train == section().train
    assert batch.train == base.train.model_copy(update={"batch": 256})
    assert (half.selection, half.units) == ("half0", base.units[:2])
    assert base.selection is None
    assert cond.train.legacy_cond is True
    assert section().train_of("resident", max_epochs=4).max_epochs == 4


def planned() -> dict[str, PlannedWorkload]:
    made = jobs()
    found = measurement_plan(made.section, round_units, made.measured)
    return {workload.workload: workload for workload in found}


def test_rounds_of_measured_work_have_units_of_their_own():
    for name, workload in planned().items():
        flat = [tuple(unit) for units in workload.rounds for unit in units]
        assert len(set(flat)) == len(flat)
        options = section().measure.workloads[name]
        assert len(workload.rounds) == options.rounds
        if options.work in ("load", "features"):
            ranges = [set(range(start, stop)) for _, start, stop in flat]
            assert all(not a & b for a, b in combinations(ranges, 2))
            assert {
                len(set().union(*(range(*unit[1:]) for unit in units))) for units in workload.rounds
            } == {options.adapters}
            loading = options.work == "load"
            source = jobs().nested().source if loading else workload.contestants[0].job.source
            assert max(map(max, ranges)) < source.adapters
    assert adapter_blocks("features", 9, 3) == [["features", 18, 22], ["features", 22, 27]]
    assert adapter_blocks("load", 9, 1) == [["load", 0, 9]]


def test_contestants_of_a_workload_differ_only_in_their_arm():
    train = planned()["train"]
    reference, again, *others = train.contestants
    assert reference.model_copy(update={"contestant": "reference_again"}) == again
    assert train.where == ""  # of every stage
    epochs = section().measure.workloads["train"].max_epochs
    for other in others:
        assert other.job.train == reference.job.train
        assert other.job.train.max_epochs == epochs
        assert other.job.columns == reference.job.columns
    assert [entry.workers for entry in others] == [1, section().measure.workers]
    read = {path.split("/")[3] for path in jobs().data()["features"]}
    assert read == {"norms", "moments", "quantiles", "spectral"}


def test_all_names_of_the_configuration_are_those_of_the_code():
    choices = [name for kind in (Loader, Extractor, Trainer) for name in get_args(kind)]
    assert sorted(implementations(unit.__name__)) == sorted(choices)
    works = [
        get_args(model.model_fields["work"].annotation) for model in get_args(get_args(Measured)[0])
    ]
    assert {name for names in works for name in names} == set(WORK)
    assert set(SvdWorkload.ways) == set(SVD)
    assert set(FftWorkload.ways) == set(FFT)


def test_the_whole_of_the_original_and_of_the_result_can_be_measured():
    made = jobs()
    workload = made.section.measure.workloads["total"]
    for arm in ("reference", "resident"):
        job = made.measured(arm, workload)
        assert isinstance(job, TotalWork)
        assert job.train.max_epochs == workload.max_epochs


def test_a_study_that_is_switched_off_counts_no_adapters(tmp_path):
    mine = {"kind": "safetensors", "path": str(tmp_path / "none"), "labels": "folder"}
    config = changed(source="mine", sources={"mine": mine})
    assert study(config, 42, active=False).runs == []
    with pytest.raises(ValueError, match="holds no file"):
        study(config, 42, active=True)


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
        "lora_ablation.sources.mine.path is no key",
    ),
    "arm that says nothing of itself": (
        {"arms": {"residnet": {"role": "original"}}},
        "lora_ablation.arms.residnet.about is missing.",
    ),
    "arm that cannot train": (
        {"arms": {"columns": {"run": {}}}},
        "lora_ablation.arms.columns.run is to train cells, but the arm has no trainer.",
    ),
    "comparison of an arm that only trains": (
        {"prepare": {"arms": ["reference", "no_decay"]}},
        "lora_ablation.prepare.arms has no_decay, which neither loads nor computes features.",
    ),
    "comparison of nobody": (
        {"prepare": {"arms": ["reference", "colums"]}},
        "lora_ablation.prepare.arms is 'colums' (did you mean 'columns'?)",
    ),
    "comparison with nobody": (
        {"prepare": {"arms": ["resident"]}},
        "lora_ablation.prepare.arms is without reference, with which others are compared.",
    ),
    "more runs than there are": (
        {"arms": {"reference": {"run": {"runs": 9}}}},
        "lora_ablation.arms.reference.run.runs is 9, more than runs.",
    ),
    "selection outside the design": (
        {"arms": {"reference": {"run": {"selections": ["half7"]}}}},
        "lora_ablation.arms.reference.run.selections is 'half7'",
    ),
    "result that trains nothing": (
        {"arms": {"resident": {"run": {"runs": 0}}}},
        "lora_ablation.arms.resident.run trains nothing, but resident is the result",
    ),
}


def test_the_default_configuration_has_no_mistake():
    section()
    changed(arms={"columns": {"run": {"runs": 0}}}, representations=[*REPRESENTATIONS, WEIGHTS])


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_named_with_its_place(mistake):
    sections, sentence = MISTAKES[mistake]
    with pytest.raises(ConfigError) as refused:
        changed(**sections)
    assert f"Config: {sentence}" in str(refused.value)
    assert "\n" not in str(refused.value)


OLD_KEYS = {
    "layers": ({"layers": ["all"]}, "lora_ablation.selections"),
    "run": ({"run": {"stacked": {"runs": 1}}}, "lora_ablation.arms.<name>.run"),
    "layers of an arm": (
        {"arms": {"stacked": {"layers": "half0"}}},
        "lora_ablation.arms.stacked.selection",
    ),
    "layers of a run": (
        {"arms": {"stacked": {"run": {"layers": ["all"]}}}},
        "lora_ablation.arms.stacked.run.selections",
    ),
    "claims": ({"agreement": {"arms": {}}}, "lora_ablation.arms.<name>.claim"),
    "result": ({"report": {"arm": "resident"}}, "lora_ablation.arms.<name>.role"),
}


@pytest.mark.parametrize("key", OLD_KEYS)
def test_a_key_with_another_name_is_told_where_it_is_now(key):
    sections, now = OLD_KEYS[key]
    with pytest.raises(ConfigError, match="has another name now") as refused:
        changed(**sections)
    assert str(refused.value).endswith(f" {now}.")


def test_a_workload_whose_arm_lacks_the_stage_is_refused():
    def with_train(**keys) -> Section:
        return changed(measure={"workloads": {"train": keys}})

    with pytest.raises(ConfigError, match="measures columns, but the arm columns has no trainer"):
        with_train(contestants=["reference", "columns"])
    with pytest.raises(ConfigError, match=r"workloads\.train\.representations is 'product'"):
        with_train(contestants=["reference"], representations=["product"])
