"""scikit-learn's classifiers on a task: as it ships them, on the same samples, seeds stated."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from sklearn.linear_model import LogisticRegression

from scripts.lib.stats import proportion
from scripts.tep_bp.classifiers import scored
from scripts.tep_bp.data.store import Task
from scripts.tep_bp.options import Classifiers
from scripts.tep_bp.specs import ClassifiersJob
from tests.stages import run_stage
from tests.tep_files import load, read, save_npz

JOB = ClassifiersJob(
    classifiers=Classifiers(seeds=2, hidden=10, epochs=200, iterations=500), seed=42
)


@pytest.fixture(scope="module")
def wine(tmp_path_factory) -> Task:
    x, y = load_wine(return_X_y=True)
    return read(save_npz(tmp_path_factory.mktemp("wine") / "wine.npz", x=x, y=y), 0)


def test_logistic_regression_is_scikit_learns_on_all_but_the_test_samples(wine):
    known, test = np.concatenate([wine.parts["train"], wine.parts["val"]]), wine.parts["test"]
    model = LogisticRegression(max_iter=500).fit(wine.x[known], wine.y[known])
    right = int((model.predict(wine.x[test]) == wine.y[test]).sum())
    row, perceptron = scored(JOB, wine)
    assert row["test_accuracy"] == pytest.approx(right / len(test))
    expected = proportion(right, len(test))
    assert (row["low"], row["high"]) == pytest.approx((expected.low, expected.high))
    assert (row["seeds"], row["samples"], row["converged"]) == (1, len(test), 1)
    assert (perceptron["seeds"], perceptron["classifier"]) == (2, "perceptron, 10 hidden units")
    assert perceptron["test_accuracy"] > 0.9


def test_the_same_seed_gives_the_same_row_and_another_one_others(wine):
    few = JOB.classifiers.model_copy(update={"epochs": 3})
    job = JOB.model_copy(update={"classifiers": few})
    first, again = scored(job, wine), scored(job, wine)
    assert first == again
    assert first[1]["converged"] == 0
    other = [scored(job.model_copy(update={"seed": seed}), wine)[1] for seed in range(6)]
    assert len({row["test_accuracy"] for row in other}) > 1


def test_bytes_count_as_pixels_here_too():
    x, y = load_digits(return_X_y=True)
    pixels = np.round(x * 255 / 16).astype(np.uint8)
    parts = {"train": np.arange(800), "val": np.arange(800, 1000), "test": np.arange(1000, 1797)}
    of_bytes = Task("digits", pixels, y, 10, parts)
    floats = replace(of_bytes, x=(pixels / 255).astype(np.float32))
    few = JOB.model_copy(update={"classifiers": JOB.classifiers.model_copy(update={"epochs": 2})})
    assert scored(few, of_bytes) == scored(few, floats)
    assert scored(few, floats)[0]["test_accuracy"] > 0.85


def test_the_scale_of_a_table_is_what_its_accuracy_hangs_on(tmp_path):
    x, y = load_breast_cancer(return_X_y=True)
    task = read(save_npz(tmp_path / "a.npz", x=x, y=y), 0)
    assert all(row["test_accuracy"] > 0.95 for row in scored(JOB, task))


def test_the_stage_writes_how_the_task_was_read_and_the_rows(monkeypatch, tmp_path):
    x, y = load_wine(return_X_y=True)
    words = np.array(["a", "b", "c"])[y]
    load(monkeypatch, save_npz(tmp_path / "wine.npz", x=x, y=words), tmp_path / "task.npz")
    made = {name: tmp_path / f"{name}.csv" for name in ("reading", "classifiers")}
    files = {"input": {"task": tmp_path / "task.npz"}, "output": made}
    assert run_stage(monkeypatch, "tep_bp/classifiers.py", JOB, **files) is None
    assert pd.read_csv(made["reading"])["what"].tolist() == ["classes", "numbers"]
    assert len(pd.read_csv(made["classifiers"])) == 2
    # What ships has nothing to say, and its file can be read.
    load(monkeypatch, {"kind": "xor"}, tmp_path / "task.npz")
    assert run_stage(monkeypatch, "tep_bp/classifiers.py", JOB, **files) is None
    assert pd.read_csv(made["reading"]).empty
