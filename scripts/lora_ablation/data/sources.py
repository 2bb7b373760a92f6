"""The one door to adapters: how many a data source has, and those from `start` to `stop`.

Snakemake counts before the first job, so readers are imported where they are used.
"""

from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from scripts.lib.faults import LoadError
from scripts.lib.foreign import foreign, marks
from scripts.lib.implementations import implementation, implementations
from scripts.lib.spec import digest
from scripts.lora_ablation.specs import AdapterFolder, DataSource, Generated, HubDataset

if TYPE_CHECKING:
    from scripts.lora_ablation.data.store import Shard

MOST = 10_000_000  # adapters; a broken footer can state any number


def count(source: DataSource) -> int:
    """Adapters of a data source, by headers and metadata only; LoadError if it has none."""
    stated = isinstance(source, Generated | HubDataset)  # nothing is downloaded to count rows
    adapters = source.adapters if stated else _reader(source).count(source)
    if adapters < 1:
        raise LoadError(f"The {source.kind} source has no adapters.")
    if adapters > MOST:
        raise LoadError(f"The {source.kind} source states {adapters} adapters; at most {MOST}.")
    return adapters


def read(source: DataSource, seed: int, start: int, stop: int) -> "Shard":
    """Adapters start..stop-1 of a data source, checked; LoadError at the first fault.

    Layers, shapes and rank must be those of the source's first adapter, whichever shard is read.
    `seed` matters to generated adapters only.
    """
    adapters = count(source)
    if not 0 <= start < stop <= adapters:
        raise LoadError(
            f"Adapters {start} to {stop - 1} were asked for; the source has {adapters}."
        )
    from scripts.lora_ablation.data.store import check_finite

    shard = _reader(source).read(source, seed, start, stop)
    check_finite(shard.matrix, shard.layout, shard.names)
    return shard


def names(source: DataSource) -> list[str] | None:
    """Names in the store of the first adapter's tensors, by headers; None of what is not here."""
    return None if isinstance(source, HubDataset) else _reader(source).names(source)


def _reader(source: DataSource) -> ModuleType:
    """The module that reads a kind of data source, as its function here says."""
    return implementations(__name__)[source.kind]()


@implementation
def generated() -> ModuleType:
    from scripts.lora_ablation.data import generator

    return generator


@implementation
def safetensors() -> ModuleType:
    from scripts.lora_ablation.data import folder

    return folder


@implementation
def matrix() -> ModuleType:
    from scripts.lora_ablation.data import flat

    return flat


@implementation
def parquet() -> ModuleType:
    from scripts.lora_ablation.data import tabular

    return tabular


@implementation
def datasets() -> ModuleType:
    from scripts.lora_ablation.data import tabular

    return tabular


@implementation
def hub() -> ModuleType:
    from scripts.lora_ablation.data import tabular

    return tabular


def fingerprints(source: DataSource, ranges: list[tuple[int, int]]) -> list[str]:
    """For each range of adapters a digest of what they are read from: files and stated labels.

    Of a directory of adapters only those of the range and the first one count, with what is
    configured beside them; a table or matrix counts as a whole, as it is one file.
    """
    if isinstance(source, AdapterFolder):
        listed = _reader(source).marked(source)
        return [digest(listed[:1], listed[start:stop]) for start, stop in ranges]
    named = [getattr(source, key, None) for key in ("path", "dimensions", "labels")]
    paths = [Path(path) for path in named if path]
    with foreign(", ".join(map(str, paths))):
        trees = [_inside(path) if path.is_dir() else [path] for path in paths]
        files = [path for tree in trees for path in tree if not path.is_dir()]
    return [digest(marks(files))] * len(ranges)


def _inside(folder: Path) -> list[Path]:
    """What lies in a folder, without hidden files and what `datasets` keeps beside its data."""
    return [
        path
        for path in sorted(folder.rglob("*"))
        if not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and not (path.name.startswith("cache-") and path.suffix == ".arrow")
    ]
