"""The stage of the baselines: a row per fold, tables to go with it, and honest failures."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from scripts.deep_gpcm.baseline import results
from scripts.deep_gpcm.metrics import scores
from scripts.deep_gpcm.specs import AXES, BaselineJob
from scripts.lib.code import ROOT
from scripts.lib.run_rows import read_runs
from scripts.lib.table_files import same_keys, write_table
from tests.gpcm_answers import answers, parameters
from tests.gpcm_networks import BASELINES
from tests.stages import job_of

LEVELS = np.array([4, 2, 3, 4, 2, 4])
TIMES = ("fit_s", "predict_s", "cpu_s")


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict:
    """Two folds of 30 students, with a truth and without."""
    folder = tmp_path_factory.mktemp("data")
    truth = parameters(30, LEVELS, seed=1)
    seen = answers(truth, 12)
    student = np.repeat(seen.student, seen.lengths)
    columns = {"student_id": student, "t": seen.position}
    columns |= {"question_id": seen.question, "response": seen.response.astype(np.int8)}
    for number in (0, 1):
        split = np.where(student % 3 == number, "test", np.where(student % 9 == 8, "val", "train"))
        write_table(folder / f"{number}.parquet", columns | {"split": split})
    items = {"question_id": np.arange(1, 7), "categories": LEVELS}
    beta = {f"beta_{h}": b for h, b in enumerate(truth.beta.T, start=1)}
    write_table(folder / "items.parquet", items | {"alpha": truth.alpha} | beta)
    write_table(folder / "students.parquet", {"student_id": truth.student, "theta": truth.theta})
    unknown = {name: np.full(6, np.nan) for name in ("alpha", *beta)}
    write_table(folder / "bare.parquet", items | unknown)
    return {
        "folds": [folder / "0.parquet", folder / "1.parquet"],
        "items": folder / "items.parquet",
        "students": folder / "students.parquet",
    }


def spec_of(baseline: str, folds: list[int], arm: str | None = None) -> BaselineJob:
    units = [["tiny", fold] for fold in folds]
    return BaselineJob(
        study="deep_gpcm", arm=arm or baseline, seed=42, units=units, baseline=baseline
    )


def first_fold(files: dict) -> dict:
    return files | {"folds": files["folds"][:1]}


def without_times(row: dict) -> dict:
    return {name: value for name, value in row.items() if name not in TIMES}


def command(job: BaselineJob, files: dict, out: Path) -> subprocess.CompletedProcess:
    read = {"item_table" if name == "items" else name: path for name, path in files.items()}
    output = {name: out / f"{name}.parquet" for name in ("runs", "predictions", "estimates")}
    words = [sys.executable, "-m", "scripts.deep_gpcm.baseline", job_of(job, read, output)]
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True)


@pytest.mark.parametrize("arm", BASELINES)
def test_a_row_scores_what_the_predictions_say(files, arm):
    rows, predictions, estimates = results(spec_of(arm, [0, 1]), **files)
    assert len(rows) == 2
    for number, row in enumerate(rows):
        assert [row[name] for name in ("study", "arm", "data", "fold", "status")] == [
            "deep_gpcm", arm, "tiny", number, "ok",
        ]  # fmt: skip
        own = predictions.to_pandas().query("fold == @number")
        again = scores(own[[f"p_{k}" for k in range(4)]].to_numpy(), own["response"].to_numpy())
        assert {name: row[name] for name in again} == pytest.approx(again, rel=1e-5)
        assert row["n_test"] == len(own) == 120
        assert row["n_train"] == 240
        assert min(row["fit_s"], row["predict_s"]) > 0
        assert set(own["student_id"] % 3) == {number}
    simple = arm in ("majority", "item_marginal")
    assert np.isnan(predictions["theta"]).all() == simple
    assert np.isnan(estimates["alpha"]).all() == simple
    assert estimates["question_id"].to_pylist() == [1, 2, 3, 4, 5, 6] * 2
    assert np.isnan(estimates["beta_3"].to_numpy()[np.tile(LEVELS < 4, 2)]).all()


@pytest.mark.parametrize("arm", BASELINES)
def test_a_fold_does_not_depend_on_the_others_in_its_job(files, arm):
    rows, *tables = results(spec_of(arm, [0, 1]), **files)
    alone = results(spec_of(arm, [1]), **files | {"folds": files["folds"][1:]})
    assert without_times(rows[1]) == without_times(alone[0][0])
    for both, one in zip(tables, alone[1:], strict=True):
        second = both.to_pandas().query("fold == 1").reset_index(drop=True)
        pd.testing.assert_frame_equal(second, one.to_pandas(), check_exact=True)


def test_an_arm_may_have_another_name_than_its_model(files):
    named, *tables = results(spec_of("gpcm", [0], "classical"), **first_fold(files))
    plain, *_ = results(spec_of("gpcm", [0]), **first_fold(files))
    assert without_times(named[0]) == without_times(plain[0]) | {"arm": "classical"}
    assert all(set(table["arm"].to_pylist()) == {"classical"} for table in tables)


def test_the_files_of_a_job_keep_the_contract(files, tmp_path):
    spec = spec_of("gpcm", [0, 1])
    done = command(spec, files, tmp_path)
    assert done.returncode == 0, done.stderr
    runs = read_runs(tmp_path / "runs.parquet", AXES)
    assert runs["fold"].to_pylist() == [0, 1]
    assert len(set(runs["seed"].to_pylist())) == 2
    assert all(0 < count < 200 for count in runs["iterations"].to_pylist())
    _, *tables = results(spec, **files)
    for name, table in zip(("predictions", "estimates"), tables, strict=True):
        written = pd.read_parquet(tmp_path / f"{name}.parquet")
        pd.testing.assert_frame_equal(written, table.to_pandas(), check_exact=True)


def test_a_ceiling_without_a_truth_is_one_sentence_and_no_file(files, tmp_path):
    bare = files | {"items": files["items"].with_name("bare.parquet")}
    done = command(spec_of("bayes", [0, 1]), bare, tmp_path)
    assert done.returncode == 1
    assert done.stderr.strip().splitlines() == [
        "Data 'tiny': arms bayes and oracle need the true parameters of students and items."
    ]
    assert not list(tmp_path.iterdir())


def test_classical_arms_need_no_truth_and_are_the_same_without_it(files):
    bare = files | {"items": files["items"].with_name("bare.parquet")}
    informed, blind = (results(spec_of("gpcm", [0, 1]), **f)[0] for f in (files, bare))
    assert [without_times(row) for row in informed] == [without_times(row) for row in blind]


def test_a_fit_that_does_not_converge_is_a_failed_row_without_numbers(files, monkeypatch):
    spec = spec_of("gpcm", [0, 1])
    with monkeypatch.context() as patch:
        patch.setattr("scripts.deep_gpcm.models.irt.marginal.MAX_ITERATIONS", 2)
        failed, predictions, estimates = results(spec, **files)
    for row in failed:
        assert row["status"] == "failed"
        assert row["gradient"] > 1e-4
        assert "nll" not in row
    assert len(predictions) == 240
    for column in (predictions["theta"], predictions["p_0"], estimates["alpha"]):
        assert np.isnan(column).all()
    fine, *_ = results(spec, **files)
    assert [row["nll"] is None for row in same_keys([failed[0], fine[1]])] == [True, False]
