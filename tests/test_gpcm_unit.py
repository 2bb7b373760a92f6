"""A unit is a row of the contract and four tables, the same bits whatever ran before it."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from scripts.deep_gpcm.data.fold import Fold, Sequences, read_fold, sequences
from scripts.deep_gpcm.data.store import estimated, predicted
from scripts.deep_gpcm.metrics import scores
from scripts.deep_gpcm.models.fit import fit
from scripts.deep_gpcm.models.reference import forward
from scripts.deep_gpcm.specs import AXES, GpcmJob
from scripts.deep_gpcm.unit import EARLY_STEPS
from scripts.lib.run_rows import RUN_COLUMNS, check_rows, read_runs
from scripts.lib.training_job import unit_key
from tests.gpcm_networks import RAGGED, ROOT, arm, batch, fold, fold_file, trained_unit
from tests.stages import job_of

UNIT = ["x", 0]
TABLES = ("histories", "losses", "predictions", "estimates")


def untimed(row: dict) -> dict:
    return {name: value for name, value in row.items() if not name.endswith("_s")}


def equal(a: dict, b: dict) -> bool:
    """Whether two tables have the same columns, NaN included."""
    return pa.table(a).to_pandas().equals(pa.table(b).to_pandas())


def test_the_row_has_the_columns_of_the_contract():
    found = trained_unit(arm("fused"), fold(), UNIT)
    row = found.row
    check_rows([row], AXES, "here")
    assert list(row)[: 3 + len(AXES)] == ["study", "arm", *AXES, "seed"]
    assert set(RUN_COLUMNS) <= set(row)
    data = fold()
    train, test = (data.parts[part].question for part in ("train", "test"))
    expected = {
        "study": "deep_gpcm", "arm": "fused", "data": "x", "fold": 0, "status": "ok",
        "threads": 1, "device": "cpu", "n_epochs": 3, "n_steps": 12,
        "n_answers": 3 * len(train), "n_test": len(test),
    }  # fmt: skip
    assert {name: row[name] for name in expected} == expected
    assert 1 <= row["best_epoch"] <= 3
    assert row["seed"] == trained_unit(arm("adamw"), data, UNIT).row["seed"]
    for unit in (["x", 1], ["y", 0]):
        other = trained_unit(arm("fused"), data, unit).row
        assert other["seed"] != row["seed"]
        assert other["early_losses"][0] != row["early_losses"][0]
    phases = [row[f"{name}_s"] for name in ("prepare", "data", "forward", "backward", "optimizer")]
    assert min(phases) > 0
    assert sum([*phases, row["validate_s"]]) == pytest.approx(row["fit_s"])


@pytest.mark.parametrize("epochs", [3, 20])
def test_losses_are_told_of_every_step_and_the_first_in_the_row(epochs):
    found = trained_unit(arm("fused", epochs=epochs), fold(), UNIT)
    steps = 4 * epochs
    assert found.losses["step"] == list(range(1, steps + 1))
    assert found.row["early_losses"] == found.losses["loss"][: min(EARLY_STEPS, steps)]
    assert found.histories["epoch"] == list(range(1, epochs + 1))
    assert len(found.histories["val_qwk"]) == epochs
    means = np.reshape(found.losses["loss"], (epochs, 4)).mean(1)
    assert found.histories["loss"] == pytest.approx(means.tolist(), rel=1e-12)


def test_where_epochs_are_few_steps_an_arm_of_ten_epochs_has_as_many_first_losses():
    short, long = (
        trained_unit(arm("fused", epochs=epochs, batch=1000), fold(), UNIT).row
        for epochs in (10, 30)
    )
    assert len(short["early_losses"]) == 10
    assert long["early_losses"] == short["early_losses"]
    assert long["n_steps"] == 30


def test_the_first_loss_is_that_of_the_network_before_its_first_step():
    data = fold(train=6)
    loss = trained_unit(arm("reference", epochs=1), data, UNIT).row["early_losses"]
    again = fit(data, arm("reference", epochs=1, lr=1e-12), unit_key(arm("reference"), UNIT))
    assert again.history[0][0] == pytest.approx(loss[0], rel=1e-6)
    assert len(loss) == 1


@pytest.mark.parametrize("name", ["fused", "monotone", "zero_id", "int8"])
def test_predictions_are_probabilities_of_the_test_answers(name):
    data = fold(levels=RAGGED)
    test = data.parts["test"]
    found = trained_unit(arm(name), data, UNIT)
    table = pd.DataFrame(found.predictions)
    p = table[[f"p_{k}" for k in range(4)]].to_numpy()
    assert p.dtype == np.float32
    assert np.abs(p.astype(float).sum(1) - 1).max() < 1e-6
    levels = np.array(RAGGED)[test.question - 1]
    assert ((p > 0).sum(1) == levels).all()
    assert (table["student_id"] == np.repeat(test.student, test.lengths)).all()
    for column, expected in (("t", "position"), ("question_id", "question")):
        assert (table[column] == getattr(test, expected)).all()
    assert (table["response"] == test.response).all()
    assert found.row["nll"] == pytest.approx(scores(p, test.response)["nll"], rel=1e-5)
    assert found.row["accuracy"] == pytest.approx((p.argmax(1) == test.response).mean())


def test_predictions_of_unmasked_training_are_of_answers_only():
    found = trained_unit(arm("unmasked"), fold(), UNIT)
    assert len(found.predictions["response"]) == found.row["n_test"]
    nll = scores(
        np.column_stack([found.predictions[f"p_{k}"] for k in range(4)]),
        found.predictions["response"],
    )["nll"]
    assert found.row["nll"] != pytest.approx(nll, rel=1e-2)


@pytest.mark.parametrize("name", ["fused", "zero_id", "monotone"])
def test_estimates_have_a_row_for_each_question_and_no_threshold_beyond_its_levels(name):
    data = fold(levels=RAGGED)
    test = data.parts["test"]
    kept = Sequences(  # nobody meets question 3
        test.student, test.lengths, np.where(test.question == 3, 1, test.question), test.response
    )
    found = trained_unit(arm(name), Fold(data.parts | {"test": kept}, data.levels), UNIT)
    table = pd.DataFrame(found.estimates)
    assert table["question_id"].tolist() == list(range(1, 8))
    assert table["alpha"].isna().tolist() == [False, False, True, False, False, False, False]
    assert (table["alpha"].dropna() > 0).all()
    beta = table[["beta_1", "beta_2", "beta_3"]].to_numpy()
    assert (np.isfinite(beta).sum(1) == np.array(RAGGED) - 1).all()
    assert (np.nan_to_num(np.diff(beta), nan=1) > 0).all() == (name == "monotone")


@pytest.mark.parametrize("name", ["reference", "zero_id"])
def test_estimates_are_the_network_s_thresholds_and_mean_slopes(name):
    data, job = fold(), arm(name)
    test, found = data.parts["test"], trained_unit(job, data, UNIT)
    net = fit(data, job, unit_key(job, UNIT)).net
    columns = (test.question - (name == "zero_id"), test.response, test.lengths)
    with torch.no_grad():
        heads = forward(net, type(batch())(*map(torch.from_numpy, columns)))
    for q in range(1, 8):
        rows = test.question == q
        assert found.estimates["alpha"][q - 1] == pytest.approx(
            heads.alpha[rows].mean().item(), rel=1e-5
        )
        beta = [found.estimates[f"beta_{h}"][q - 1] for h in (1, 2, 3)]
        assert heads.beta[rows][0].tolist() == pytest.approx(beta, rel=1e-5)
    assert found.predictions["theta"] == pytest.approx(heads.theta.numpy(), rel=1e-4, abs=1e-6)


def test_an_arm_without_ability_has_none():
    test = fold().parts["test"]
    p = np.full((len(test.question), 4), 0.25)
    assert np.isnan(predicted({"arm": "x"}, test, p, None)["theta"]).all()
    table = estimated({"arm": "x"}, np.ones(2), np.zeros((2, 3)))
    assert list(table) == ["arm", "question_id", "alpha", "beta_1", "beta_2", "beta_3"]
    assert table["arm"] == ["x", "x"]


def test_a_window_of_a_student_is_a_sequence_of_its_own():
    columns = {"student_id": [4, 4, 4, 4, 7], "t": [0, 1, 0, 1, 0]}
    found = sequences(pa.table(columns | {"question_id": [1, 2, 3, 1, 2], "response": [0] * 5}))
    assert found.student.tolist() == [4, 4, 7]
    assert found.lengths.tolist() == [2, 2, 1]
    assert found.starts.tolist() == [0, 2, 4]
    assert found.position.tolist() == columns["t"]


def command(job: GpcmJob, files: tuple, folder) -> list[str]:
    """The training stage's command line for two folds of the same file, writing into `folder`."""
    output = {name: folder / f"{name}.parquet" for name in ("runs", *TABLES)}
    read = {"folds": [files[0]] * 2, "item_table": files[1], "kernel": []}
    return [sys.executable, "-m", "scripts.deep_gpcm.train", job_of(job, read, output)]


def test_a_unit_is_the_same_bits_in_a_fresh_process_and_after_any_other_work(tmp_path):
    files = fold_file(fold(), tmp_path)
    units = [[UNIT[0], UNIT[1] + 1], UNIT]
    jobs = {name: arm(name, units) for name in ("reference", "fused")}
    running = {
        name: subprocess.Popen(command(job, files, tmp_path / name), cwd=ROOT)
        for name, job in jobs.items()
    }
    torch.manual_seed(3)
    np.random.seed(3)  # noqa: NPY002
    trained_unit(arm("adamw"), fold(seed=1), ["y", 3])
    for name, job in jobs.items():
        data = read_fold(*files)
        here, again = (trained_unit(job, data, UNIT) for _ in range(2))
        assert running[name].wait() == 0
        assert untimed(here.row) == untimed(again.row)
        other, row = read_runs(tmp_path / name / "runs.parquet", AXES).to_pylist()
        assert (other["fold"], row["fold"]) == (UNIT[1] + 1, UNIT[1])
        assert untimed(row) == untimed(here.row)
        for table in TABLES:
            mine = [("fold", "=", UNIT[1])]
            written = pq.read_table(tmp_path / name / f"{table}.parquet", filters=mine).to_pandas()
            assert equal(getattr(here, table), getattr(again, table))
            assert written.equals(pa.table(getattr(here, table)).to_pandas())
