"""A faulty table of adapters is refused in one sentence: adapter, column, what is expected."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from scripts.lora_ablation.data.layout import DOWN, UP
from scripts.lora_ablation.data.tabular import save_nested
from tests.lora_files import BLOCK, read_all, refusal, save_parquet, small, table

QUERY = f"{BLOCK}attn1.to_q"


@pytest.fixture
def refused(monkeypatch, tmp_path):
    return lambda source, **rows: refusal(monkeypatch, source, tmp_path, **rows)


def rows(columns):
    """Change a table's weight columns from Python lists."""

    def change(shard):
        found = table(shard).to_pydict()
        columns(found)
        return pa.table(found)

    return change


def set_value(at, number):
    def change(found):
        found[QUERY + at][1] = number

    return change


def set_inner(number):
    def change(found):
        found[QUERY + UP][1][3][1] = number

    return change


def other_rank(found):
    found[QUERY + UP][1], found[QUERY + DOWN][1] = [[1.0]] * 8, [[1.0] * 6]


TABLES = {
    "null adapter": (rows(set_value(DOWN, None)), [QUERY + DOWN, "null", "cat/01"]),
    "null row": (rows(set_value(UP, [[1.0, 2.0], None] * 4)), [QUERY + UP, "null", "cat/01"]),
    "null number": (rows(set_inner(None)), [QUERY + UP, "null"]),
    "NaN": (rows(set_inner(np.nan)), [QUERY + UP, "nan"]),
    "beyond float32": (rows(set_inner(1e300)), [QUERY + UP, "inf"]),
    "mixed ranks": (rows(other_rank), [QUERY + DOWN, "list of 1 where 2", "(2, 6)"]),
    "ragged": (rows(set_value(UP, [[1.0, 2.0]] * 7 + [[1.0]])), [QUERY + UP, "(8, 2)"]),
    "strings": (rows(lambda f: f.update({QUERY + UP: [["a"]] * 6})), [QUERY + UP, "floats"]),
    "no weights": (lambda s: table(s).select(["category_label", "folder"]), ["folder"]),
    "no label": (lambda s: table(s).drop_columns("category_label"), ["'category_label'", "folder"]),
    "null label": (rows(lambda f: f["category_label"].__setitem__(1, None)), ["label is null"]),
    "up lost": (lambda s: table(s).drop_columns(QUERY + UP), [QUERY, "no up factor"]),
    "flat": (lambda s: table(s, flat=True), ["rank cannot be told"]),
    "odd rank": (
        lambda s: table(s, flat=True).append_column("rank", [[5] * 6]),
        ["12 numbers, not rank 5"],
    ),
    "name twice": (
        lambda s: table(s).append_column(QUERY.removeprefix("unet.") + UP, table(s)[QUERY + UP]),
        ["Column mid_block", "expected one"],
    ),
}


@pytest.mark.parametrize("fault", TABLES)
def test_a_faulty_table_is_refused_with_adapter_and_column(fault, refused, tmp_path):
    change, said = TABLES[fault]
    pq.write_table(change(small()), tmp_path / "a.parquet")
    sentence = refused({"kind": "parquet", "path": str(tmp_path / "a.parquet")})
    assert all(part in sentence for part in said), sentence


def test_parquet_files_with_other_columns_are_refused(refused, tmp_path):
    save_parquet(small(1), tmp_path / "0.parquet")
    save_parquet(small(1, modules=("attn1.to_q",)), tmp_path / "1.parquet")
    sentence = refused({"kind": "parquet", "path": str(tmp_path)})
    assert "1.parquet" in sentence
    assert "attn2.to_v" in sentence


def test_a_parquet_file_without_rows_is_passed_over_and_a_broken_one_named(refused, tmp_path):
    save_parquet(small(0), tmp_path / "0.parquet")
    source = save_parquet(small(3), tmp_path / "1.parquet") | {"path": str(tmp_path)}
    assert read_all(source, 3).labels == small(3).labels
    (tmp_path / "1.parquet").unlink()
    assert "no adapters" in refused(source)
    (tmp_path / "0.parquet").write_bytes(b"PAR1")
    assert "no Parquet file" in refused(source)


def saved(tmp_path):
    shard = small()
    save_nested(shard.matrix, shard.layout, shard.labels, tmp_path / "one")
    return {"kind": "datasets", "path": str(tmp_path / "one")}


def test_a_data_set_dictionary_needs_one_of_its_splits(refused, tmp_path):
    from datasets import Dataset, DatasetDict

    both = DatasetDict({"train": Dataset(table(small())), "test": Dataset(table(small()))})
    both.save_to_disk(tmp_path / "both")
    source = {"kind": "datasets", "path": str(tmp_path / "both")}
    for split in ({}, {"split": "val"}):
        assert "the splits are test, train" in refused(source | split)
    assert "without splits" in refused(saved(tmp_path) | {"split": "train"})


def test_a_path_that_holds_no_data_set_is_named(refused, tmp_path):
    assert "no data set" in refused({"kind": "datasets", "path": str(tmp_path / "nowhere")})
    assert "Parquet" in refused({"kind": "parquet", "path": str(tmp_path / "nowhere")})
    assert "no file that ends in" in refused(
        {"kind": "safetensors", "path": str(tmp_path), "labels": "folder"}
    )


def test_a_hub_data_set_must_have_the_size_and_the_split_that_are_stated(
    refused, tmp_path, monkeypatch
):
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    save_parquet(small(), tmp_path / "hub/train.parquet")
    source = {"kind": "hub", "id": str(tmp_path / "hub"), "split": "train", "adapters": 7}
    sentence = refused(source)
    assert "has 6 adapters" in sentence
    assert "says 7" in sentence
    assert "cannot be loaded" in refused(source | {"split": "val"})
