"""Tables of adapters are read exactly, whatever Arrow makes of nested lists."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from scripts.lora_ablation.data.columns import arrow_layout, to_matrix
from scripts.lora_ablation.data.tabular import dataset_shard, save_nested
from scripts.lora_ablation.specs import SavedDataset
from scripts.lora_ablation.unit import chosen
from tests.lora_files import (
    count,
    generated,
    read,
    read_all,
    same_bits,
    save_parquet,
    small,
    table,
)

SAVED = SavedDataset(kind="datasets", path="saved")


def arrow(shard, change):
    """Table of the shard with every weight column changed."""
    found = table(shard)
    for i, name in enumerate(found.column_names):
        if name.startswith("unet."):
            found = found.set_column(i, name, change(found[name], name))
    return found


def fixed_size(shard):
    shapes = dict(zip(shard.layout.names, shard.layout.shapes, strict=True))

    def change(column, name):
        p, q = shapes[name]
        return column.cast(pa.list_(pa.list_(pa.float32(), q), p))

    return arrow(shard, change)


def array2d(shard):
    from datasets import Array2D, Dataset, Features, Value

    features = {
        n: Array2D(s, "float32")
        for n, s in zip(shard.layout.names, shard.layout.shapes, strict=True)
    }
    text = ("category_label", "category_name", "folder")
    features |= {name: Value("string") for name in text}
    found = Dataset.from_dict(table(shard).to_pydict(), features=Features(features))
    return found.with_format("arrow")[:]


ARROW = {
    "lists": table,
    "fixed-size lists": fixed_size,
    "Array2D": array2d,
    "large lists": lambda s: arrow(
        s, lambda c, _: c.cast(pa.large_list(pa.large_list(pa.float32())))
    ),
    "float64": lambda s: arrow(s, lambda c, _: c.cast(pa.list_(pa.list_(pa.float64())))),
    "flat with a rank": lambda s: table(s, flat=True).append_column("rank", [[2] * len(s.rows)]),
}


@pytest.mark.parametrize("kind", ARROW)
def test_every_arrow_type_is_read_whole_sliced_and_chunked(kind):
    shard = small(7)
    found = ARROW[kind](shard)
    assert arrow_layout(found) == shard.layout
    assert same_bits(to_matrix(found, shard.layout, shard.names), shard.matrix)
    assert same_bits(to_matrix(found.slice(2, 3), shard.layout, shard.names), shard.matrix[2:5])
    pieces = pa.concat_tables([found.slice(5), found.slice(0, 2), found.slice(2, 3)])
    expected = shard.matrix[[5, 6, 0, 1, 2, 3, 4]]
    assert same_bits(to_matrix(pieces, shard.layout, shard.names), expected)


def test_half_precision_lists_are_read():
    shard = small(3)
    found = arrow(shard, lambda c, _: c.cast(pa.list_(pa.list_(pa.float16()))))
    expected = shard.matrix.astype(np.float16).astype(np.float32)
    assert same_bits(to_matrix(found, shard.layout, shard.names), expected)


@pytest.mark.parametrize("rank", [1, 3])
def test_the_rank_of_flat_columns_follows_from_the_width_of_the_model(rank):
    shard = generated(2, rank)
    assert arrow_layout(table(shard, flat=True)) == shard.layout


def test_the_rank_of_flat_columns_can_be_given():
    shard = small()
    assert arrow_layout(table(shard, flat=True), 2) == shard.layout


def test_columns_without_the_prefix_get_it():
    shard = small()
    found = table(shard)
    short = found.rename_columns([name.removeprefix("unet.") for name in found.column_names])
    assert arrow_layout(short) == shard.layout
    assert same_bits(to_matrix(short, shard.layout, shard.names), shard.matrix)


def test_a_selected_and_shuffled_data_set_is_read_in_its_own_order(tmp_path):
    from datasets import load_from_disk

    shard = small()
    save_nested(shard.matrix, shard.layout, shard.labels, tmp_path)
    four = load_from_disk(tmp_path).select([4, 1, 5, 0])
    back = dataset_shard(four, SAVED, 1, 4)
    assert same_bits(back.matrix, shard.matrix[[1, 5, 0]])
    assert back.labels == [shard.labels[i] for i in (1, 5, 0)]


def test_a_split_of_a_data_set_dictionary_is_read(tmp_path):
    from datasets import Dataset, DatasetDict

    shard = small()
    halves = {"train": table(shard).slice(0, 4), "test": table(shard).slice(4)}
    DatasetDict({k: Dataset(v.combine_chunks()) for k, v in halves.items()}).save_to_disk(tmp_path)
    source = {"kind": "datasets", "path": str(tmp_path), "split": "test"}
    assert count(source) == 2
    assert same_bits(read_all(source, 2).matrix, shard.matrix[4:])


def test_parquet_files_are_one_source_and_only_their_rows_are_read(tmp_path):
    shard = small(7)
    for i, rows in enumerate([slice(0, 3), slice(3, 7)]):
        part = table(shard).slice(rows.start, rows.stop - rows.start)
        pq.write_table(part, tmp_path / f"{i}.parquet", row_group_size=2)
    source = {"kind": "parquet", "path": str(tmp_path)}
    assert count(source) == 7
    for start, stop in [(0, 7), (2, 4), (4, 5), (6, 7)]:
        assert same_bits(read(source, 42, start, stop).matrix, shard.matrix[start:stop])


def test_label_group_and_name_columns_can_be_chosen(tmp_path):
    shard = small()
    source = save_parquet(shard, tmp_path / "a.parquet")
    source |= {"label": "category_name", "group": "folder", "name": "category_label"}
    back = read_all(source, 6)
    assert (back.labels, back.groups, back.names) == (shard.groups, shard.names, shard.labels)


@pytest.mark.parametrize("load", ["formatted", "python_lists", "zero_copy"])
@pytest.mark.parametrize("rank", [1, 3])
def test_all_ways_to_load_give_the_same_bits(load, rank, tmp_path):
    from datasets import load_from_disk

    shard = generated(3, rank)
    save_nested(shard.matrix, shard.layout, shard.labels, tmp_path)
    found = chosen(load)(load_from_disk(tmp_path), shard.layout, range(1, 3))
    assert same_bits(found, dataset_shard(load_from_disk(tmp_path), SAVED, 1, 3).matrix)
    assert same_bits(found, shard.matrix[1:])


def test_the_zero_copy_read_leaves_views_of_the_file_uncopied():
    shard = small()
    found = table(shard)
    before = pa.total_allocated_bytes()
    to_matrix(found, shard.layout, shard.names)
    assert pa.total_allocated_bytes() == before
