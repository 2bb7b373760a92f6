"""Numbers of a user's task are scaled as stated, or as they look; classes may be words."""

import logging

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine

from scripts.tep_bp.data.store import read_task
from tests.tep_files import load, read, save_idx, save_npz

DIGITS, CLASSES = load_digits(return_X_y=True)


def task_of(tmp_path, x: np.ndarray, y: np.ndarray = CLASSES, **keys):
    return read(save_npz(tmp_path / "mine.npz", x=x, y=y) | keys, 0)


def test_bytes_of_0_and_1_are_not_pixels(tmp_path):
    bits = DIGITS > 7
    found = [task_of(tmp_path, bits.astype(kind)) for kind in (np.uint8, np.float32, bool, int)]
    for task in found:
        assert task.x.dtype == np.float32
        assert np.array_equal(task.x, bits)
        assert task.reading["numbers"].startswith("taken as they are (numbers from 0 to 1")


@pytest.mark.parametrize("kind", [np.uint8, np.int64, np.float64])
def test_grey_levels_of_0_to_16_are_brought_to_one_common_scale(kind, tmp_path):
    task = task_of(tmp_path, DIGITS.astype(kind))
    train = task.x[task.parts["train"]]
    assert train.mean() == pytest.approx(0, abs=1e-5)
    assert train.std() == pytest.approx(1, abs=1e-5)
    # The same picture, lighter: no pixel is blown up because it is rarely lit.
    assert np.corrcoef(task.x.ravel(), DIGITS.ravel())[0, 1] == pytest.approx(1)
    assert "all columns less one mean" in task.reading["numbers"]


def test_pixels_are_divided_by_255_whatever_their_type_and_shape(tmp_path):
    pixels = np.round(DIGITS * 255 / 16)
    for x in (pixels.astype(np.uint8), pixels, pixels.reshape(-1, 8, 8), pixels.astype(np.int32)):
        task = task_of(tmp_path, x)
        assert "divided by 255 (as pixels" in task.reading["numbers"]
        brought = task.x / np.float32(255) if task.x.dtype == np.uint8 else task.x
        assert np.allclose(brought, pixels / 255, atol=1e-7)
    # Images need not reach the brightest white; in a table, 200 is no pixel.
    dark = np.minimum(pixels, 200)
    assert "pixels" in task_of(tmp_path, dark.reshape(-1, 8, 8)).reading["numbers"]
    assert "pixels" not in task_of(tmp_path, dark).reading["numbers"]


def test_float_images_of_0_to_1_are_taken_as_they_are(tmp_path):
    task = task_of(tmp_path, DIGITS / 16)
    assert np.array_equal(task.x, (DIGITS / 16).astype(np.float32))


@pytest.mark.parametrize("table", [load_breast_cancer, load_wine, load_iris])
def test_columns_of_different_scales_are_standardised_by_the_training_part_alone(table, tmp_path):
    x, y = table(return_X_y=True)
    task = task_of(tmp_path, x, y)
    known = x[task.parts["train"]]
    expected = (x - known.mean(axis=0)) / known.std(axis=0)
    assert np.allclose(task.x, expected, atol=1e-5)
    assert "each column less its mean" in task.reading["numbers"]
    assert "of the training part" in task.reading["numbers"]
    # Other numbers in validation and test change nothing of the scale.
    others = x.copy()
    rest = np.concatenate([task.parts["val"], task.parts["test"]])
    others[rest] *= 1000
    again = task_of(tmp_path, others, y)
    assert np.array_equal(again.x[task.parts["train"]], task.x[task.parts["train"]])


def test_a_table_within_0_and_1_whose_columns_differ_by_thousands_is_standardised(tmp_path):
    rng = np.random.default_rng(0)
    x, y = rng.uniform(0.1, 1, (90, 3)) * [1, 1e-3, 1e-5], np.arange(90) % 3
    task = task_of(tmp_path, x, y)
    assert task.x[task.parts["train"]].std(axis=0) == pytest.approx(1, abs=1e-5)


def test_large_offsets_do_not_drown_a_column(tmp_path):
    rng = np.random.default_rng(0)
    x, y = rng.normal(1.7e9, 1, (90, 2)), np.arange(90) % 3  # seconds since 1970
    task = task_of(tmp_path, x, y)
    assert len(np.unique(task.x)) > 150


def test_what_is_standardised_already_and_bits_of_both_signs_stay(tmp_path):
    rng = np.random.default_rng(0)
    for x in (rng.normal(size=(600, 4)), rng.choice([-1.0, 1.0], (600, 4))):
        task = task_of(tmp_path, x, np.arange(600) % 3)
        assert np.array_equal(task.x, x.astype(np.float32))
        assert "taken as they are" in task.reading["numbers"]


def test_a_constant_column_is_centred_and_nothing_is_divided_by_0(tmp_path):
    x, y = load_wine(return_X_y=True)
    x[:, 3] = 7
    task = task_of(tmp_path, x, y)
    assert (task.x[:, 3] == 0).all()
    assert np.isfinite(task.x).all()


@pytest.mark.parametrize("scale", ["none", "standard", "common", 255])
def test_a_stated_scale_holds_whatever_the_numbers_look_like(scale, tmp_path):
    x, y = np.arange(180.0).reshape(60, 3), np.arange(60) % 3
    task = task_of(tmp_path, x, y, scale=scale)
    train = x[task.parts["train"]]
    expected = {
        "none": x,
        "standard": (x - train.mean(axis=0)) / train.std(axis=0),
        "common": (x - train.mean()) / train.std(),
        255: x / 255,
    }
    assert np.allclose(task.x, expected[scale], atol=1e-6)
    assert task.reading["numbers"].endswith("(scale)")


def test_a_test_set_of_the_users_own_is_scaled_by_the_training_part(tmp_path):
    x, y = load_wine(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))
    x, y = x[order], y[order]
    np.savez(tmp_path / "a.npz", x=x[:140], y=y[:140], x_test=x[140:] * 100, y_test=y[140:])
    task = read({"kind": "npz", "path": str(tmp_path / "a.npz")}, 0)
    assert task.x[task.parts["train"]].std(axis=0) == pytest.approx(1, abs=1e-5)
    assert np.abs(task.x[task.parts["test"]]).max() > 50


def test_idx_files_of_0_and_1_are_not_divided_either(tmp_path):
    bits = (DIGITS > 7).astype(int).reshape(-1, 8, 8)
    arrays = {"train-images": bits[:1500], "train-labels": CLASSES[:1500],
              "t10k-images": bits[1500:], "t10k-labels": CLASSES[1500:]}  # fmt: skip
    task = read(save_idx(tmp_path / "a", arrays), 0)
    assert np.array_equal(task.x, bits.reshape(-1, 64))
    stated = read(save_idx(tmp_path / "a", arrays) | {"scale": 255}, 0)
    assert stated.x.dtype == np.uint8


def test_what_ships_is_scaled_as_ever_and_has_nothing_to_say():
    task = read({"kind": "digits"}, 0)
    assert np.array_equal(task.x, (DIGITS / 16).astype(np.float32))
    assert task.reading == {}


WORDS = np.array(["setosa", "versicolor", "virginica"])


@pytest.mark.parametrize("kind", ["U", "S"])
def test_classes_in_words_are_numbered_in_their_order_and_named(kind, tmp_path):
    x, y = load_iris(return_X_y=True)
    task = task_of(tmp_path, x, WORDS[y].astype(kind))
    assert np.array_equal(task.y, y)
    assert task.y.dtype == np.int64
    assert task.reading["classes"] == "words, in this order: setosa, versicolor, virginica"


@pytest.mark.parametrize("words", [["NA", "None", "007"], ["1.50", "1.5", "null"], ["é", "я", "z"]])
def test_words_are_text_whatever_they_look_like(words, tmp_path):
    x, y = load_iris(return_X_y=True)
    task = task_of(tmp_path, x, np.array(sorted(words))[y])
    assert np.array_equal(task.y, y)
    assert all(word in task.reading["classes"] for word in words)


def test_words_that_are_whole_numbers_are_in_their_order(tmp_path):
    y = np.arange(1200) % 12
    x = np.random.default_rng(0).normal(size=(1200, 3))
    task = task_of(tmp_path, x, (y + 1).astype(str))
    assert np.array_equal(task.y, y)
    assert "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12" in task.reading["classes"]


def test_true_and_false_are_two_classes(tmp_path):
    task = task_of(tmp_path, DIGITS / 16, CLASSES > 4)
    assert np.array_equal(task.y, CLASSES > 4)
    assert "False, True" in task.reading["classes"]


def test_words_of_a_test_set_are_those_of_training(tmp_path):
    x, y = load_iris(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))
    x, y = x[order], WORDS[y[order]]
    np.savez(tmp_path / "a.npz", x=x[:120], y=y[:120], x_test=x[120:], y_test=y[120:])
    task = read({"kind": "npz", "path": str(tmp_path / "a.npz")}, 0)
    assert np.array_equal(WORDS[task.y], y)


def test_how_a_task_was_read_is_in_the_log_and_in_its_file(monkeypatch, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    x, y = load_iris(return_X_y=True)
    task = save_npz(tmp_path / "mine.npz", x=x, y=WORDS[y])
    assert load(monkeypatch, task, tmp_path / "task.npz") is None
    reading = read_task(tmp_path / "task.npz").reading
    assert list(reading) == ["classes", "numbers"]
    assert all(how in caplog.text for how in reading.values())
