"""What the spine does with a study of two stages: rows, failures, refusals."""

import logging
import time
from copy import deepcopy
from types import SimpleNamespace

import numpy as np
import pytest
import yaml
from pydantic import create_model

from scripts.lib.code import imports
from scripts.lib.config import read_settings
from scripts.lib.faults import ConfigError, ContractError
from scripts.lib.own_study import Failed
from scripts.lib.root import ROOT
from scripts.lib.table_files import write_table
from scripts.spine.jobs import Jobs, announced
from scripts.spine.load import columns, read_data
from scripts.spine.section import two_stage_section
from scripts.spine.train import import_first, train_unit
from scripts.spine.two_stage import TwoStage, two_stage
from tests.rule_files import shipped

STUDY = two_stage("engression")


def section(**changes):
    """The section that ships, keys replaced."""
    config = deepcopy(shipped()["engression"]) | changes
    return read_settings(two_stage_section(STUDY), config, "engression")


def row_of(monkeypatch, implementation=None, evaluate=None) -> dict:
    """The row of one unit by an implementation that returns what `evaluate` is given."""
    job = Jobs(STUDY, section(), 42).train("exact", "reps-000-003")
    if implementation:
        monkeypatch.setitem(STUDY.implementations, "exact", implementation)
    if evaluate:
        monkeypatch.setattr(STUDY.module, "evaluate", evaluate)
    unit = ["normal", 16, 0]
    return train_unit(STUDY, job, unit, {"x": np.zeros(16, np.float32)})["row"]


def fails(unit, answer=None):
    raise Failed("the matrix is singular")


@pytest.mark.parametrize("where", ["implementation", "evaluate"])
def test_a_unit_that_cannot_be_finished_is_a_failed_row_and_the_log_says_why(
    monkeypatch, caplog, where
):
    caplog.set_level(logging.WARNING)
    given = {"implementation": lambda unit: None} | {where: fails}
    row = row_of(monkeypatch, **given)
    assert row["status"] == "failed"
    assert row["fit_s"] is None
    assert "the matrix is singular" in caplog.text


def test_work_after_the_last_phase_is_of_that_phase(monkeypatch):
    def laps_first(unit):
        unit.phases.lap("noise")
        unit.phases.lap("data")
        time.sleep(0.05)

    row = row_of(monkeypatch, laps_first, lambda unit, answer: {"n_epochs": 1})
    assert row["data_s"] >= 0.05
    assert row["data_s"] + row["noise_s"] == pytest.approx(row["fit_s"])


def test_an_implementation_without_phases_has_the_time_of_its_fit(monkeypatch):
    evaluate = {"evaluate": lambda unit, answer: {"n_epochs": 1}}
    row = row_of(monkeypatch, lambda unit: sum(range(300_000)), **evaluate)
    assert row["fit_s"] > 1e-3


def test_a_metric_that_the_study_does_not_announce_stops_the_job(monkeypatch):
    with pytest.raises(ContractError, match="METRICS is without 'losss'"):
        row_of(monkeypatch, lambda unit: None, lambda unit, answer: {"losss": 1.0})


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        ({"histories": [{"epoch": 1}]}, "a row of the table 'histories'"),
        ({"histories": [[1, 2.0]]}, "give a list of epoch, loss, term1, term2"),
        ({"n_epochs": "ten"}, "n_epochs is 'ten', but its kind is number"),
        ({"status": "done"}, "status is 'done'"),
    ],
)
def test_what_a_unit_returns_in_another_form_stops_the_job_in_a_sentence(
    monkeypatch, found, sentence
):
    with pytest.raises(ContractError, match=sentence):
        row_of(monkeypatch, lambda unit: None, lambda unit, answer: found)


def test_a_phase_that_the_study_does_not_announce_stops_the_job(monkeypatch):
    with pytest.raises(ContractError, match="PHASES is without 'drow'"):
        row_of(monkeypatch, lambda unit: unit.phases.lap("drow"), lambda unit, answer: {})


def test_an_evaluation_that_returns_no_metrics_by_name_is_told(monkeypatch):
    with pytest.raises(ConfigError, match="evaluate returns list, not metrics by name"):
        row_of(monkeypatch, lambda unit: None, lambda unit, answer: [1.0])


@pytest.mark.parametrize(
    ("piece", "value", "sentence"),
    [
        ("METRICS", {"x": "nmber"}, "the kind of 'x' in METRICS is 'nmber'; use one of number"),
        ("PHASES", "draw", "PHASES is 'draw'; it must be a list of names"),
        ("TABLES", {"path": "step"}, "path is 'step'; it must be a list of names"),
    ],
)
def test_a_piece_of_another_form_is_told(monkeypatch, piece, value, sentence):
    monkeypatch.setattr(STUDY.module, piece, value)
    with pytest.raises(ConfigError, match=sentence):
        TwoStage("engression")


@pytest.mark.parametrize("key", ["reps", "axes", "summary"])
def test_a_setting_with_the_name_of_a_key_of_every_section_is_told(key):
    study = TwoStage("engression")
    study.settings = create_model("Settings", **{key: (int, 1)})
    with pytest.raises(ConfigError, match=f"Settings has '{key}', which every section has already"):
        two_stage_section(study)


def test_what_an_implementation_imports_when_called_is_imported_before(monkeypatch):
    names = imports("scripts/engression/study.py", "pooled")
    assert "scripts.engression.models.pooled.PooledGradient" in names
    assert not any("exact" in name for name in names)
    imported = []
    monkeypatch.setattr("importlib.import_module", imported.append)
    import_first(["json", "os.path"])
    assert imported == ["json", "os.path"]


def test_a_name_that_is_no_module_is_passed_over():
    import_first(["nosuch.module.at.all", "json.dumps"])


@pytest.mark.parametrize("shape", [(5,), (3, 4), (2, 3, 2), (0, 2)])
@pytest.mark.parametrize("kind", [np.float64, np.float32, np.int64, bool])
def test_arrays_of_any_shape_and_type_come_back_as_they_were(tmp_path, monkeypatch, shape, kind):
    rng = np.random.default_rng(0)
    made = [(rng.random(shape) * 3).astype(kind) for _ in range(2)]
    module = SimpleNamespace(data=lambda unit: {"x": made[unit["rep"]]})
    study = SimpleNamespace(axes=["n", "rep"], module=module)
    job = SimpleNamespace(units=[[7, 0], [7, 1]])
    monkeypatch.setattr(
        "scripts.spine.load.unit_of",
        lambda study, job, labels: dict(zip(study.axes, labels, strict=True)),
    )
    write_table(tmp_path / "data.parquet", columns(study, job))
    read = read_data(tmp_path / "data.parquet", study.axes)
    for (_, rep), arrays in read.items():
        assert arrays["x"].dtype == kind
        assert np.array_equal(arrays["x"], made[rep])


def test_settings_of_a_workload_that_would_change_the_data_are_refused(monkeypatch):
    monkeypatch.setattr(STUDY.module, "DATA", ["train"])
    study = TwoStage("engression")
    with pytest.raises(ConfigError, match="train would change the data, which all workloads share"):
        announced(study, section(), 42, active=True)


@pytest.mark.parametrize("piece", ["Axes", "METRICS", "data"])
def test_a_module_without_a_piece_is_told_which(monkeypatch, piece):
    monkeypatch.delattr(STUDY.module, piece)
    with pytest.raises(ConfigError, match=rf"study\.py has no {piece}"):
        TwoStage("engression")


def test_a_key_of_data_that_is_no_setting_is_told(monkeypatch):
    monkeypatch.setattr(STUDY.module, "DATA", ["nett"])
    with pytest.raises(ConfigError, match="DATA has 'nett', which is no key of Settings"):
        TwoStage("engression")


def test_an_option_that_an_implementation_does_not_read_is_refused():
    arms = deepcopy(shipped()["engression"]["arms"])
    arms["exact"]["options"] = {"antithetic": True}
    with pytest.raises(ConfigError, match="antithetic has no effect on 'exact'"):
        announced(STUDY, section(arms=arms), 42, active=True)


def test_the_part_of_a_workload_is_a_value_of_the_strata():
    measure = deepcopy(shipped()["engression"]["measure"])
    measure["workloads"]["fixed_steps"]["where"] = "10"
    with pytest.raises(ConfigError, match=r"where is '10' \(did you mean '100'\?\)"):
        announced(STUDY, section(measure=measure), 42, active=True)


def test_the_template_is_checked_like_any_study():
    template = yaml.safe_load((ROOT / "workflow/template/study.yaml").read_text())
    assert set(template) == {"NAME"}
