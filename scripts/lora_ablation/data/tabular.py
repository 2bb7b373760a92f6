"""Data sources whose adapters are rows of a table: Hugging Face datasets and Parquet files."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from scripts.lib.faults import LoadError
from scripts.lib.foreign import foreign
from scripts.lib.foreign_tables import check_plain, footer, validated
from scripts.lora_ablation.data.columns import RANK, arrow_layout, to_matrix, weight_columns
from scripts.lora_ablation.data.layout import Layout
from scripts.lora_ablation.data.store import Shard, constant_scales, stated_scale
from scripts.lora_ablation.specs import HubDataset, ParquetFiles, SavedDataset

if TYPE_CHECKING:
    from datasets import Dataset

LABEL, GROUP, NAMES = "category_label", "category_name", ("name", "folder")


Source = SavedDataset | HubDataset | ParquetFiles


def count(source: SavedDataset | ParquetFiles) -> int:
    """Rows of a data set on disk, or of Parquet files by their footers."""
    if isinstance(source, SavedDataset):
        return len(_saved(source))
    return sum(rows for _, rows in _files(source))


def read(source: Source, seed: int, start: int, stop: int) -> Shard:
    """Rows start..stop-1 of a data set on disk or on the hub, or of Parquet files."""
    if isinstance(source, ParquetFiles):
        return _from_parquet(source, start, stop)
    dataset = _saved(source) if isinstance(source, SavedDataset) else _downloaded(source)
    return dataset_shard(dataset, source, start, stop)


def names(source: SavedDataset | ParquetFiles) -> list[str]:
    """Names of the tensors in the store, by the columns."""
    if isinstance(source, SavedDataset):
        return [*weight_columns(_saved(source).column_names)]
    file, _ = _files(source)[0]
    with foreign(file):
        columns = pq.read_schema(file).names
    return [*weight_columns(columns)]


def _downloaded(source: HubDataset) -> "Dataset":
    """A split on the Hugging Face hub; it is downloaded once."""
    import datasets

    where = f"{source.id}, split {source.split}"
    with no_progress_bars(), foreign(where, "cannot be loaded"):
        dataset = datasets.load_dataset(source.id, split=source.split)
    if len(dataset) != source.adapters:
        raise LoadError(
            f"{where}: has {len(dataset)} adapters; the configuration says {source.adapters}."
        )
    return dataset


def _from_parquet(source: ParquetFiles, start: int, stop: int) -> Shard:
    """Rows start..stop-1 of a Parquet file, or of the files of a directory sorted by path."""
    files = _files(source)
    with foreign(files[0][0]):
        columns = pq.read_schema(files[0][0]).names
    needed = _needed(columns, source)
    parts, first = [], 0
    for file, rows in files:
        last = first + rows
        if first < stop and start < last:
            parts.append(_parquet_rows(file, needed, max(start - first, 0), stop - first))
        first = last
    with foreign(source.path, "its files differ"):
        table = pa.concat_tables(parts)
    return _shard(source, _parquet_rows(files[0][0], needed, 0, 1), table, start)


def _shard(source: Source, first: pa.Table, table: pa.Table, start: int) -> Shard:
    """Shard of `table`, which begins at adapter `start`; `first` is the very first adapter."""
    where = _place(source)
    first, table = (validated(rows, where) for rows in (first, table))
    described = {source.label, source.group or GROUP, source.name, *NAMES}
    check_plain(table, [name for name in table.column_names if name in described], where)
    layout = arrow_layout(first, source.rank)
    named = source.name or next((c for c in NAMES if c in table.column_names), None)
    rows = range(start, start + len(table))
    names = [str(name) for name in (table[named].to_pylist() if named else rows)]
    labels = _known(table[source.label])
    if None in labels:
        raise LoadError(f"Adapter {names[labels.index(None)]}: its label is null.")
    group = source.group or GROUP
    groups = _known(table[group]) if group in table.column_names else [None] * len(table)
    return Shard(
        matrix=to_matrix(table, layout, names),
        layout=layout,
        rows=rows,
        names=names,
        labels=[str(value) for value in labels],
        groups=[None if value is None else str(value) for value in groups],
        scales=constant_scales(layout, len(table), source.alpha),
        reading=stated_scale(source.alpha),
    )


def _known(column: pa.ChunkedArray) -> list:
    """A column's values; NaN, which pandas writes for what is missing, is None."""
    values = column.to_pylist()
    return [None if value != value else value for value in values]


def _place(source: Source) -> str:
    return source.id if isinstance(source, HubDataset) else source.path


def _needed(columns: list[str], source: Source) -> list[str]:
    """The columns to read: weights, and what says of an adapter what it is."""
    for key in ("label", "group", "name"):
        wanted = getattr(source, key)
        if wanted is not None and wanted not in columns:
            weights = set(weight_columns(columns).values())
            others = ", ".join(name for name in columns if name not in weights) or "none"
            raise LoadError(f"No column {wanted!r} for the {key}; other columns are: {others}.")
    described = {source.label, source.group or GROUP, source.name, RANK}
    kept = described | set(NAMES) | set(weight_columns(columns).values())
    needed = [name for name in columns if name in kept]
    if twice := [name for name in needed if columns.count(name) > 1]:
        raise LoadError(f"The column {twice[0]!r} is there twice; expected each column once.")
    return needed


def dataset_shard(dataset: "Dataset", source: Source, start: int, stop: int) -> Shard:
    """Rows start..stop-1 of a `datasets.Dataset`; the dataset is left in Arrow format."""
    needed = _needed(dataset.column_names, source)
    # Tables in this format are memory-mapped slices that follow select and shuffle. Set in place:
    # with_format and select_columns copy the description of every column, 40 ms a call.
    with foreign(_place(source)):
        dataset.set_format("arrow")
        first, table = (dataset[rows].select(needed) for rows in (slice(0, 1), slice(start, stop)))
    return _shard(source, first, table, start)


def _saved(source: SavedDataset) -> "Dataset":
    import datasets

    path, split = source.path, source.split
    with foreign(path, "is no data set saved on disk"):
        saved = datasets.load_from_disk(path)
    if isinstance(saved, datasets.DatasetDict):
        if split not in saved:
            asked = "give its split" if split is None else f"split {split!r} is not in it"
            raise LoadError(f"{path}: {asked}; the splits are {', '.join(sorted(saved))}.")
        return saved[split]
    if split is not None:
        raise LoadError(f"{path}: holds one data set without splits; take out split {split!r}.")
    return saved


def _files(source: ParquetFiles) -> list[tuple[Path, int]]:
    """The Parquet files that have rows, sorted by path, and how many."""
    path = Path(source.path)
    with foreign(path):
        files = _inside(path) if path.is_dir() else [path]
        there = bool(files) and files[0].exists()
    if not there:
        raise LoadError(f"{path}: expected a Parquet file or a directory of them.")
    sizes = [footer(file).num_rows for file in files]
    return [(file, size) for file, size in zip(files, sizes, strict=True) if size]


def _inside(folder: Path) -> list[Path]:
    """Parquet files of a folder; names that begin with a dot are of the system."""
    return sorted(path for path in folder.rglob("*.parquet") if not path.name.startswith("."))


def _parquet_rows(path: Path, columns: list[str], start: int, stop: int) -> pa.Table:
    """Rows of one file; only the row groups that hold them are read."""
    with foreign(path), pq.ParquetFile(path) as file:
        if lost := [name for name in columns if name not in file.schema_arrow.names]:
            raise LoadError(f"{path}: has no column {lost[0]}; the first file has.")
        sizes = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
        ends = np.cumsum(sizes)
        groups = np.flatnonzero((ends > start) & (ends - sizes < stop)).tolist()
        table = file.read_row_groups(groups, columns=columns)
    skipped = int(ends[groups[0]] - sizes[groups[0]])
    return table.slice(start - skipped, stop - start)


@contextmanager
def no_progress_bars() -> Iterator[None]:
    """No progress bars of `datasets` in a job's log."""
    import datasets

    shown = datasets.is_progress_bar_enabled()
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        if shown:
            datasets.enable_progress_bars()


def save_nested(
    matrix: np.ndarray,
    layout: Layout,
    labels: Sequence[str],
    path: str | Path,
    groups: Sequence[str] | None = None,
) -> None:
    """Save adapters as the authors' data sets are: list<list<float>> columns, `save_to_disk`."""
    columns = {LABEL: pa.array(labels, pa.string())}
    if groups is not None:
        columns[GROUP] = pa.array(groups, pa.string())
    for name, shape, start in zip(layout.names, layout.shapes, layout.offsets, strict=False):
        columns[name] = nested(matrix[:, start : start + shape[0] * shape[1]], shape)
    from datasets import Dataset

    with no_progress_bars():
        Dataset(pa.table(columns)).save_to_disk(str(path))


def nested(values: np.ndarray, shape: tuple[int, int]) -> pa.ListArray:
    """Matrix [rows, p * q] as a list<list<float>> array of `rows` times (p, q)."""
    rows, (p, q) = len(values), shape
    numbers = pa.array(np.ascontiguousarray(values).reshape(-1))
    inner = pa.ListArray.from_arrays(np.arange(0, rows * p * q + 1, q, np.int32), numbers)
    return pa.ListArray.from_arrays(np.arange(0, rows * p + 1, p, np.int32), inner)
