"""Optuna opens our results and says of them what we say."""

import math

import numpy as np
import optuna
import pandas as pd
import pytest
from optuna.importance import get_param_importances
from optuna.storages import JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from scripts.tep_bp.export import export
from scripts.tep_bp.outcome.distribution import importances
from scripts.tep_bp.plans.optuna_trials import study_of
from scripts.tep_bp.plans.ranking import ranked
from scripts.tep_bp.plans.sampling import trials
from scripts.tep_bp.plans.space import DIMENSIONS
from tests.tep_nets import changed
from tests.tep_space import SPACE

EPOCHS = 3


def results(rule: str, n: int = 40, seed: int = 0) -> pd.DataFrame:
    """Made-up results that depend on lr alone; trial 3 failed and trial 5 diverged."""
    rng = np.random.default_rng(seed)
    table = trials(SPACE, "sobol", n, 42).assign(rule=rule, status="ok")
    table["val_accuracy"] = 0.98 - abs(np.log10(table["lr"]) + 2) / 10 - rng.random(n) / 1e4
    table["val_loss"] = 1 - table["val_accuracy"]
    table["cpu_s"] = rng.random(n) + 0.5
    table["diverged_epoch"] = np.where(table["trial"] == 5, 2, math.nan)
    table["curve"] = [score * np.linspace(0.5, 1, EPOCHS) for score in table["val_accuracy"]]
    table.loc[3, ["status", "val_accuracy", "val_loss", "cpu_s"]] = "failed", *[math.nan] * 3
    table.at[3, "curve"] = None
    table.loc[5, ["status", "val_accuracy", "val_loss"]] = "diverged", 0.1, math.nan
    return table


def opened(path, rule: str) -> optuna.Study:
    if path.suffix == ".log":
        storage = JournalStorage(JournalFileBackend(str(path)))
    else:
        storage = RDBStorage(f"sqlite:///{path}")
    return optuna.load_study(study_name=rule, storage=storage)


def closed(study: optuna.Study) -> None:
    backend = getattr(study._storage, "_backend", None)
    if isinstance(backend, RDBStorage):
        backend.remove_session()
        backend.engine.dispose()


@pytest.fixture(scope="module", params=[".db", ".log"])
def study(request, tmp_path_factory):
    """The exported results of tep, read back from the file."""
    path = tmp_path_factory.mktemp("optuna") / f"studies{request.param}"
    export(path, {rule: results(rule).sample(frac=1, random_state=0) for rule in ("tep", "bp")},
           SPACE)  # fmt: skip
    assert [found.name for found in path.parent.iterdir()] == [path.name]
    found = opened(path, "tep")
    yield found
    closed(found)


def test_every_trial_is_there_with_its_number_state_and_score(study):
    expected = results("tep")
    assert [trial.number for trial in study.trials] == expected["trial"].tolist()
    for trial, row in zip(study.trials, expected.to_dict("records"), strict=True):
        failed = row["status"] == "failed"
        assert trial.state == (TrialState.FAIL if failed else TrialState.COMPLETE)
        assert trial.value == (None if failed else row["val_accuracy"])
        assert trial.params == {key: row[key] for key in DIMENSIONS}
    assert study.trials[5].value == 0.1


def test_curves_are_intermediate_values_by_epoch(study):
    for trial, curve in zip(study.trials, results("tep")["curve"], strict=True):
        expected = {} if curve is None else dict(zip(range(1, EPOCHS + 1), curve, strict=True))
        assert trial.intermediate_values == expected


def test_other_columns_are_user_attributes_where_they_have_a_value(study):
    row = results("tep").loc[7]
    told = study.trials[7].user_attrs
    names = {"trial", "seed", "rule", "status", "val_accuracy", "val_loss", "cpu_s"}
    assert told == {name: row[name] for name in names}
    assert told["seed"] == int(row["seed"])
    assert study.trials[5].user_attrs["diverged_epoch"] == 2
    assert study.trials[3].user_attrs.keys() == {"trial", "seed", "rule", "status"}


def test_a_trial_lasts_as_long_as_its_cpu_time(study):
    for trial, spent in zip(study.trials, results("tep")["cpu_s"].fillna(0.0), strict=True):
        assert trial.duration.total_seconds() == pytest.approx(spent, abs=2e-6)


def test_the_best_trial_is_the_one_that_we_choose(study):
    chosen = int(ranked(results("tep"))["trial"].iloc[0])
    assert study.best_trial.number == chosen
    assert study.user_attrs == {
        "rule": "tep",
        "value": "val_accuracy",
        "ties": "by val_loss, then trial",
        "chosen": chosen,
    }


def test_importances_from_the_file_are_ours(study):
    ours = importances(results("tep"), SPACE, "tep")
    assert get_param_importances(study) == ours
    assert next(iter(ours)) == "lr"
    assert ours["lr"] > 0.5
    assert sum(ours.values()) == pytest.approx(1)


def test_a_rule_is_exported_without_what_it_does_not_read(study):
    other = optuna.load_study(study_name="bp", storage=study._storage)
    assert all("beta" not in trial.params for trial in other.trials)
    assert importances(results("bp"), SPACE, "bp").keys() == {*DIMENSIONS} - {"beta"}
    assert {trial.user_attrs["rule"] for trial in other.trials} == {"bp"}


def test_ties_are_ours_also_where_optuna_breaks_them_otherwise():
    table = results("tep").assign(val_accuracy=0.9, val_loss=1.0, status="ok")
    table.loc[11, "val_loss"] = 0.5
    study = study_of(table, SPACE, "tep")
    assert study.user_attrs["chosen"] == 11
    assert study.best_value == 0.9
    assert study.trials[11].value == study.best_value


def test_importances_need_trials_that_differ():
    assert importances(results("tep")[:20], SPACE, "tep") == {}  # one failed: 19 scores
    assert importances(results("tep")[:21], SPACE, "tep")
    equal = results("tep").assign(val_accuracy=0.9, status="ok")
    assert importances(equal, SPACE, "tep") == {}


def test_a_study_in_which_all_failed_is_exported_without_a_choice(tmp_path):
    table = results("tep", 10).assign(status="failed", val_accuracy=math.nan)
    export(tmp_path / "a.log", {"tep": table}, SPACE)
    study = opened(tmp_path / "a.log", "tep")
    assert {trial.state for trial in study.trials} == {TrialState.FAIL}
    assert "chosen" not in study.user_attrs


@pytest.mark.parametrize("end", [".db", ".log"])
def test_an_export_replaces_a_file_whole_or_leaves_it(end, tmp_path):
    path = tmp_path / f"odd name? 50%#1{end}"
    for n in (6, 8):
        export(path, {"tep": results("tep", n)}, SPACE)
    before = path.read_bytes()
    with pytest.raises(ValueError, match="not in"):
        export(path, {"tep": results("tep", 8)}, changed(SPACE, hidden=[8]))
    assert path.read_bytes() == before
    assert [found.name for found in tmp_path.iterdir()] == [path.name]
    if end == ".log":
        assert len(opened(path, "tep").trials) == 8


def test_another_ending_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"a\.json: ends in neither \.db nor \.log\.$"):
        export(tmp_path / "a.json", {"tep": results("tep", 6)}, SPACE)
    assert not any(tmp_path.iterdir())
