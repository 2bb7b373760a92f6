"""A faulty task is refused in one sentence that says where and why; no file is left."""

import gzip
import hashlib
import pickle
from pathlib import Path

import numpy as np
import pytest

from scripts.lib.faults import LoadError
from scripts.tep_bp.data.store import read_task
from tests.tep_files import (
    idx,
    images,
    load,
    refusal,
    save_idx,
    save_npz,
    tarball,
)

X, Y = np.random.default_rng(0).normal(size=(60, 4)), np.arange(60) % 3


def changed(array: np.ndarray, place, value) -> np.ndarray:
    array = array.copy()
    array[place] = value
    return array


WRONG_ARRAYS = {
    "NaN": ({"x": changed(X, (7, 2), np.nan), "y": Y}, ["x[7, 2] is nan"]),
    "infinity": ({"x": changed(X, (7, 2), -np.inf), "y": Y}, ["x[7, 2] is -inf"]),
    "too large for float32": ({"x": changed(X, (0, 0), 1e39), "y": Y}, ["x[0, 0] is 1e+39"]),
    "one number a sample": ({"x": X[:, 0], "y": Y}, ["x has shape (60,)"]),
    "no numbers": ({"x": X[:, :0], "y": Y}, ["x has shape (60, 0)"]),
    "no samples": ({"x": X[:0], "y": Y[:0]}, ["x has shape (0, 4)"]),
    "text": ({"x": X.astype(str), "y": Y}, ["type <U", "expected (N, D)"]),
    "complex numbers": ({"x": X + 1j, "y": Y}, ["type complex128"]),
    "classes as columns": ({"x": X, "y": np.eye(3)[Y].astype(int)}, ["y has shape (60, 3)"]),
    "classes as fractions": ({"x": X, "y": Y + 0.0}, ["type float64", "whole numbers"]),
    "fewer classes than samples": ({"x": X, "y": Y[:59]}, ["60 samples and y has 59"]),
    "one class only": ({"x": X, "y": Y * 0}, ["all samples are of class 0"]),
    "classes from 1": ({"x": X, "y": Y + 1}, ["class 1 stands where class 0"]),
    "a gap between classes": ({"x": X, "y": Y * 2}, ["class 2 stands where class 1"]),
    "a negative class": ({"x": X, "y": Y - 1}, ["class -1 stands where class 0"]),
    "one sample of a class": (
        {"x": X, "y": changed(Y % 2, 5, 2)},
        ["60 samples of 3 classes", "class 2 has 1"],
    ),
    "two samples of a class": (
        {"x": X, "y": changed(Y % 2, [5, 6], 2)},
        ["60 samples of 3 classes", "cannot be split"],
    ),
    "too few samples": ({"x": X[:4], "y": Y[:4]}, ["4 samples of 3 classes"]),
    "numbers beyond pixels": ({"x": X, "y": Y, "scale": 255}, ["between -", "scale: 255"]),
    "an empty word": ({"x": X, "y": np.array(["a", "b", ""])[Y]}, ["y[2] is ''", "no class"]),
    "a missing class as text": (
        {"x": X, "y": np.array(["a", "b", "nan"])[Y]},
        ["y[2] is 'nan'", "no class"],
    ),
    "words in another encoding": (
        {"x": X, "y": np.array([b"a", b"b", b"\xe9"])[Y]},
        ["y holds bytes that are no UTF-8"],
    ),
    "one sample of a word": (
        {"x": X, "y": np.where(np.arange(60) == 5, "rare", np.where(Y > 1, "a", "b"))},
        ["60 samples of 3 classes", "class rare has 1"],
    ),
    "words as objects": (
        {"x": X, "y": np.array(["a", "b", "c"], object)[Y]},
        ["array y: cannot be read (Object arrays", "astype(str)"],
    ),
    "no y": ({"x": X}, ["has no array 'y'", "it has: x"]),
    "no x": ({"a": X, "y": Y}, ["has no array 'x'", "it has: a, y"]),
    "half a test set": ({"x": X, "y": Y, "x_test": X}, ["only one of"]),
    "a test set of another width": (
        {"x": X, "y": Y, "x_test": X[:, :3], "y_test": Y},
        ["(4,) of float64", "(3,) of float64"],
    ),
    "a test set of another type": (
        {"x": X, "y": Y, "x_test": X.astype(int), "y_test": Y},
        ["of float64", "of int64"],
    ),
    "a test set that hides a sample": (
        {"x": X[:50], "y": Y[:51], "x_test": X[50:], "y_test": Y[51:]},
        ["the training set has samples (50, 4) and classes (51,)"],
    ),
    "an empty test set": (
        {"x": X, "y": Y, "x_test": X[:0], "y_test": Y[:0]},
        ["the test set has samples (0, 4)"],
    ),
    "a test set without a class": (
        {"x": X, "y": Y, "x_test": X[:1], "y_test": Y[:1]},
        ["class 1 would be missing from test"],
    ),
}


@pytest.mark.parametrize("fault", WRONG_ARRAYS)
def test_a_faulty_file_of_arrays_is_refused(fault, monkeypatch, tmp_path):
    arrays, expected = WRONG_ARRAYS[fault]
    scale = {"scale": arrays["scale"]} if "scale" in arrays else {}
    arrays = {name: array for name, array in arrays.items() if name != "scale"}
    said = refusal(monkeypatch, tmp_path, save_npz(tmp_path / "mine.npz", **arrays) | scale)
    assert "mine" in said
    for words in expected:
        assert words in said


class Bomb:
    """A pickle that leaves a trace if it is ever loaded."""

    def __init__(self, trace: Path):
        self.trace = trace

    def __reduce__(self):
        return (Path.touch, (self.trace,))


def test_python_objects_in_a_file_are_never_unpickled(monkeypatch, tmp_path):
    trace = tmp_path / "trace"
    x = np.array([[Bomb(trace)]] * 60, object)
    said = refusal(monkeypatch, tmp_path, save_npz(tmp_path / "mine.npz", x=x, y=Y))
    assert "cannot be read (Object arrays cannot be loaded" in said
    (tmp_path / "mine.npz").write_bytes(pickle.dumps(Bomb(trace)))
    said = refusal(monkeypatch, tmp_path, {"kind": "npz", "path": str(tmp_path / "mine.npz")})
    assert "is not an .npz file" in said
    assert not trace.exists()
    leave, given = Bomb(trace).__reduce__()
    leave(*given)
    assert trace.exists()


def spoilt(content: bytes, way: str) -> bytes:
    """An .npz file, damaged."""
    if way == "cut":
        return content[: len(content) // 2]
    if way == "empty":
        return b""
    middle = content.find(b"x.npy") + 200
    return (
        content[:middle]
        + bytes(byte ^ 255 for byte in content[middle : middle + 50])
        + (content[middle + 50 :])
    )


@pytest.mark.parametrize(
    ("way", "words"),
    [("cut", "is not an .npz"), ("empty", "is not an .npz"), ("flipped", "Bad CRC-32")],
)
def test_a_damaged_file_of_arrays_is_refused(way, words, monkeypatch, tmp_path):
    task = save_npz(tmp_path / "mine.npz", x=X, y=Y)
    path = Path(task["path"])
    path.write_bytes(spoilt(path.read_bytes(), way))
    assert words in refusal(monkeypatch, tmp_path, task)


@pytest.mark.parametrize(
    ("kind", "path"), [("npz", "no.npz"), ("npz", ""), ("mnist", "no.npz"), ("mnist", "no")]
)
def test_a_path_without_a_file_is_refused(kind, path, monkeypatch, tmp_path):
    said = refusal(monkeypatch, tmp_path, {"kind": kind, "path": str(tmp_path / path)})
    assert "cannot be read" in said or "has no file train-images-idx3-ubyte" in said


# What is done to the file of training images (or labels), and what is said.
WRONG_IDX = {
    "bad magic": (lambda c: b"\x00\x00\x0d\x03" + c[4:], "starts with 00000d03; expected 00000803"),
    "labels for images": (lambda c: idx(np.zeros(200)), "starts with 00000801; expected 00000803"),
    "an empty file": (lambda c: b"", "starts with nothing"),
    "half a header": (lambda c: c[:9], "starts with 00000803; expected 00000803"),
    "too few bytes": (lambda c: c[:-1], "has 3199 bytes after its header; expected 200 x 4 x 4"),
    "too many bytes": (lambda c: c + b"\x00", "has 3201 bytes after its header"),
    "a truncated gz": (lambda c: gzip.compress(c)[:-20], "cannot be unpacked"),
    "a gz of nothing": (lambda c: gzip.compress(c)[:5], "cannot be unpacked"),
    "a damaged gz": (lambda c: gzip.compress(c)[:30] + b"\xff" * 40, "cannot be unpacked"),
    "a gz with a wrong sum": (lambda c: gzip.compress(c)[:-8] + bytes(8), "cannot be unpacked"),
    "a page of an error": (lambda c: b"<html>404</html>", "starts with 3c68746d"),
    "fewer images than labels": (
        lambda c: idx(images(199, 0)["train-images"]),
        "the training set has samples (199, 4, 4) and classes (200,)",
    ),
    "another size of images": (lambda c: idx(np.zeros((200, 5, 4))), "(5, 4) of uint8"),
}


@pytest.mark.parametrize("fault", WRONG_IDX)
def test_a_faulty_file_of_images_is_refused(fault, monkeypatch, tmp_path):
    spoil, words = WRONG_IDX[fault]
    task = save_idx(tmp_path / "images", images(200, 50))
    path = tmp_path / "images/train-images-idx3-ubyte"
    path.write_bytes(spoil(path.read_bytes()))
    assert words in refusal(monkeypatch, tmp_path, task)


def test_a_missing_file_of_images_is_named(monkeypatch, tmp_path):
    task = save_idx(tmp_path / "images", images(200, 50))
    (tmp_path / "images/t10k-labels-idx1-ubyte").unlink()
    assert "has no file t10k-labels-idx1-ubyte" in refusal(monkeypatch, tmp_path, task)


WRONG_TASKS = {
    "not fetched": ({"kind": "mnist"}, "MNIST has to be fetched first"),
}


@pytest.mark.parametrize("fault", WRONG_TASKS)
def test_an_impossible_task_is_refused(fault, monkeypatch, tmp_path):
    task, words = WRONG_TASKS[fault]
    assert words in refusal(monkeypatch, tmp_path, task)


def test_a_fetched_file_that_is_not_the_pinned_one_is_refused(monkeypatch, tmp_path):
    path = tarball(tmp_path, images(200, 50))
    said = refusal(monkeypatch, tmp_path, {"kind": "mnist"}, (path,))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert f"mnist.tgz: has the SHA-256 {digest}; expected 8f87f2d0" in said
    path.unlink()
    assert "mnist.tgz: cannot be read" in refusal(monkeypatch, tmp_path, {"kind": "mnist"}, (path,))


@pytest.mark.parametrize("change", ["rows", "repeated", "shape", "missing"])
def test_a_file_that_is_no_task_of_ours_is_refused(change, monkeypatch, tmp_path):
    path = tmp_path / "task.npz"
    assert load(monkeypatch, {"kind": "xor"}, path) is None
    with np.load(path) as found:
        arrays = dict(found)
    if change == "missing":
        del arrays["val"]
    elif change == "shape":
        arrays["x"] = arrays["x"][:, 0]
    else:
        arrays["val"] = arrays["val"][1:] if change == "rows" else arrays["train"]
    np.savez(path, **arrays)
    with pytest.raises(LoadError, match=r"task\.npz: (is no task of this workflow|has no array)"):
        read_task(path)
