"""Extending a study computes only the new units; grouping and cores change no number."""

import pytest

from tests.project import Project, copy_code

pytestmark = pytest.mark.spread

OFF = ("reference", "truth", "exact", "source_cdist")
FULL = "{" + ", ".join(f"{arm}: {{run: {{reps: 0}}}}" for arm in OFF) + "}"
LAWS = "[normal, exponential, uniform, lognormal, chisquare]"


def test_block_size_and_cores_change_no_bit(tmp_path):
    tables = []
    for block, cores in [(1, 2), (5, 1), (50, 2)]:
        project = Project(copy_code(tmp_path / f"block-{block}"))
        study = {"axes": "{law: [normal]}", "reps": "6", "block": str(block)}
        config = project.overlay(**study, arms=FULL)
        project.science(config=config, cores=cores)
        tables.append(project.rows())
    assert len(tables[0]) == 12
    assert tables[0] == tables[1] == tables[2]


def test_two_more_replications_train_exactly_thirty_new_units(fresh):
    study = {"axes": f"{{law: {LAWS}, n: [16, 17, 24]}}", "arms": FULL, "block": "4"}
    fresh.science(config=fresh.overlay(**study, reps="10"))
    before = {row["seed"]: row for row in fresh.rows()}
    units = fresh.trained()
    assert len(units) == 150
    config = fresh.overlay(**study, reps="12")
    jobs = fresh.jobs("science", config=config)
    assert jobs["engression_train"] == jobs["engression_load"] == 1
    fresh.science(config=config)
    assert len(fresh.trained() - units) == 30
    after = {row["seed"]: row for row in fresh.rows()}
    assert len(after) == 180
    assert {seed: after[seed] for seed in before} == before


def test_adding_a_law_and_a_size_changes_no_old_row(fresh):
    fresh.science(config=fresh.overlay(arms=FULL))
    before, units = fresh.rows(), fresh.trained()
    axes = "{law: [normal, uniform, exponential], n: [16, 20, 24]}"
    fresh.science(config=fresh.overlay(arms=FULL, axes=axes))
    after = fresh.rows()
    assert [row for row in after if row in before] == before
    assert len(fresh.trained() - units) == len(after) - len(before) == 18 - 8


def test_another_block_size_trains_no_unit_again(fresh):
    fresh.science(config=fresh.overlay(arms=FULL))
    units = fresh.trained()
    fresh.science(config=fresh.overlay(arms=FULL, block="2"))
    assert fresh.trained() == units
