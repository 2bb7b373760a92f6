"""The stages write shards that are whole, exact and joined in order, or nothing."""

import subprocess
import sys
from itertools import pairwise

import numpy as np
import pyarrow.parquet as pq
import pytest

from scripts.lib.code import ROOT
from scripts.lora_ablation.data.layout import sd15_layout
from scripts.lora_ablation.data.split import split
from scripts.lora_ablation.data.store import read_layout, read_tensors
from tests.lora_files import (
    generated,
    generated_source,
    load_job,
    outputs,
    same_bits,
    save_folder,
    save_matrix,
    small,
)
from tests.stages import job_of, run_stage


def load_shards(monkeypatch, source, folder, cuts, seed=42):
    """Run load.py for each shard; the files with which index.py joins them."""
    for i, (start, stop) in enumerate(pairwise(cuts)):
        job, out = load_job(source, start, stop, seed), outputs(folder / str(i))
        assert run_stage(monkeypatch, "lora_ablation/load.py", job, output=out) is None
    shards = [folder / str(i) for i in range(len(cuts) - 1)]
    return {
        "indexes": [shard / "0.parquet" for shard in shards],
        "layouts": [shard / "0.json" for shard in shards],
        "index": folder / "index.parquet",
    }


def join(monkeypatch, files, kind="original"):
    read = {name: files[name] for name in ("indexes", "layouts")}
    made = {"index": files["index"], "data": files["index"].with_name("data.csv")}
    return run_stage(monkeypatch, "lora_ablation/index.py", {"split": kind}, read, made)


def test_a_shard_is_a_memory_mapped_matrix_a_layout_and_an_index(monkeypatch, tmp_path):
    load_shards(monkeypatch, generated_source(9), tmp_path, [3, 6])
    shard, expected = tmp_path / "0", generated(9)
    found = read_tensors(shard / "0.npy")
    assert isinstance(found, np.memmap)
    assert found.flags["C_CONTIGUOUS"]
    assert not found.flags["WRITEABLE"]
    assert same_bits(np.asarray(found), expected.matrix[3:6])
    assert read_layout(shard / "0.json") == sd15_layout(1)
    index = pq.read_table(shard / "0.parquet").to_pydict()
    assert index["row"] == [3, 4, 5]
    assert index["name"] == ["generated-3", "generated-4", "generated-5"]
    assert index["label"] == expected.labels[3:6]
    assert index["group"] == expected.groups[3:6]
    assert index["sha256"] == expected.digests()[3:6]
    assert index["scale"] == [[1.0] * 64] * 3
    names = sorted(path.name for path in shard.iterdir() if path.suffix != ".seal")
    assert names == ["0.json", "0.npy", "0.parquet"]


@pytest.mark.parametrize("save", [save_folder, save_matrix])
def test_shard_size_changes_no_bit_and_no_row(save, monkeypatch, tmp_path):
    source, found = save(small(12), tmp_path / "source"), []
    for name, cuts in [("one", [0, 12]), ("many", [0, 1, 5, 11, 12])]:
        files = load_shards(monkeypatch, source, tmp_path / name, cuts)
        assert join(monkeypatch, files) is None
        matrices = [read_tensors(tmp_path / name / f"{i}/0.npy") for i in range(len(cuts) - 1)]
        index = pq.read_table(tmp_path / name / "index.parquet")
        found.append((np.concatenate(matrices).tobytes(), index.to_pydict()))
    assert found[0] == found[1]


def test_the_index_joins_shards_in_the_order_of_rows_and_splits_them(monkeypatch, tmp_path):
    source = save_matrix(small(20), tmp_path / "source")
    files = load_shards(monkeypatch, source, tmp_path, [0, 7, 20])
    backwards = {name: files[name][::-1] for name in ("indexes", "layouts")}
    assert join(monkeypatch, files | backwards) is None
    index = pq.read_table(tmp_path / "index.parquet")
    assert index.column_names == ["row", "name", "label", "group", "sha256", "split"]
    assert index["row"].to_pylist() == list(range(20))
    assert index["sha256"].to_pylist() == small(20).digests()
    assert set(index["split"].to_pylist()) == {"train", "val", "test"}


def test_ten_adapters_or_fewer_are_one_sentence_and_no_index(monkeypatch, tmp_path):
    files = load_shards(monkeypatch, generated_source(3), tmp_path, [0, 3])
    assert "has 3 adapters; a split into train, val and test needs 11" in refused(
        monkeypatch, files
    )


def test_adapters_that_repeat_another_are_counted_in_the_log(monkeypatch, tmp_path, caplog):
    shard = small(12)
    shard.matrix[3] = shard.matrix[7] = shard.matrix[0]
    files = load_shards(monkeypatch, save_matrix(shard, tmp_path / "source"), tmp_path, [0, 12])
    assert join(monkeypatch, files) is None
    assert "2 of 12 adapters repeat another one." in caplog.text


def refused(monkeypatch, files, kind="original"):
    sentence = join(monkeypatch, files, kind)
    assert isinstance(sentence, str)
    assert sentence.endswith(".")
    assert "\n" not in sentence
    assert not files["index"].exists()
    return sentence


def test_shards_with_other_layers_or_gaps_are_refused(monkeypatch, tmp_path):
    one = load_shards(monkeypatch, generated_source(4, 1), tmp_path / "one", [0, 2, 4])
    two = load_shards(monkeypatch, generated_source(4, 2), tmp_path / "two", [0, 2, 4])
    mixed = {"layouts": [one["layouts"][0], two["layouts"][1]]}
    sentence = refused(monkeypatch, one | mixed)
    assert "two/1/0.json" in sentence
    assert "expected (1, 320)" in sentence
    gap = {"indexes": one["indexes"][1:]}
    assert "not rows 0, 1, 2" in refused(monkeypatch, one | gap)


def test_a_source_of_one_class_is_refused(monkeypatch, tmp_path):
    shard = small(12)
    shard.labels[:] = ["cat"] * 12
    files = load_shards(monkeypatch, save_matrix(shard, tmp_path / "source"), tmp_path, [0, 12])
    assert "All adapters are of class 'cat'" in refused(monkeypatch, files)


def test_a_class_that_training_would_not_see_is_refused(monkeypatch, tmp_path):
    shard = small(20)
    shard.labels[:] = ["cat"] * 10 + ["dog"] * 10
    held_out = int(np.flatnonzero(split("original", shard.labels, shard.groups) == "test")[0])
    shard.labels[held_out] = "snake"
    files = load_shards(monkeypatch, save_matrix(shard, tmp_path / "source"), tmp_path, [0, 20])
    assert "Class 'snake' has no adapter in the training split" in refused(monkeypatch, files)
    assert "class 'snake' has 1" in refused(monkeypatch, files, "stratified")


def test_classes_that_are_not_held_out_are_named_and_a_test_of_one_class_is_refused(
    monkeypatch, tmp_path, caplog
):
    shard = small(20)
    parts = split("original", shard.labels, shard.groups)
    shard.labels[:] = ["dog" if part == "test" else "cat" for part in parts]
    shard.labels[int(np.flatnonzero(parts == "train")[0])] = "dog"
    files = load_shards(monkeypatch, save_matrix(shard, tmp_path / "source"), tmp_path, [0, 20])
    assert "test split are of class 'dog'" in refused(monkeypatch, files)
    shard.labels[int(np.flatnonzero(parts == "test")[0])] = "cat"
    files = load_shards(monkeypatch, save_matrix(shard, tmp_path / "source"), tmp_path, [0, 20])
    assert join(monkeypatch, files) is None
    assert "The val split has no adapter of 1 of the 2 classes (dog)." in caplog.text


def test_a_fault_ends_the_command_with_code_1_and_nothing_but_the_sentence(tmp_path):
    source = save_folder(small(), tmp_path / "source")
    broken = tmp_path / "source" / small().names[1]
    broken.write_bytes(broken.read_bytes()[:-3])
    job = job_of(load_job(source, 0, 6), {}, outputs(tmp_path / "out"))
    command = [sys.executable, "-m", "scripts.lora_ablation.load", job]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert str(broken) in done.stderr
    assert not (tmp_path / "out").exists()


def test_counting_at_the_start_of_a_workflow_imports_no_heavy_library():
    code = (
        "import sys; from scripts.lora_ablation.jobs import count, generated;"
        "assert count(generated(5)) == 5;"
        "heavy = {'torch', 'datasets', 'sklearn', 'pandas', 'pyarrow', 'scipy', 'numba'};"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=120)
