"""The one door to adapters: how many a data source has, and those from `start` to `stop`."""

from pathlib import Path

from scripts.lib.faults import LoadError
from scripts.lib.foreign import foreign, marks
from scripts.lib.spec import digest
from scripts.lora_ablation.data import flat, folder, generator, tabular
from scripts.lora_ablation.data.adapter_file import PEFT_CONFIG
from scripts.lora_ablation.data.store import Shard, check_finite

# kind: (counts, reads).
KINDS = {
    "generated": (generator.count, generator.read),
    "datasets": (tabular.count_saved, tabular.read_saved),
    "hub": (tabular.count_hub, tabular.read_hub),
    "parquet": (tabular.count_parquet, tabular.read_parquet),
    "safetensors": (folder.count, folder.read),
    "matrix": (flat.count, flat.read),
}
MOST = 10_000_000  # adapters; a broken footer can state any number


def count(source: dict) -> int:
    """Adapters of a data source, by headers and metadata only; LoadError if it has none."""
    adapters = _functions(source)[0](source)
    if adapters < 1:
        raise LoadError(f"The {source['kind']} source has no adapters.")
    if adapters > MOST:
        raise LoadError(f"The {source['kind']} source states {adapters} adapters; at most {MOST}.")
    return adapters


def read(source: dict, seed: int, start: int, stop: int) -> Shard:
    """Adapters start..stop-1 of a data source, checked; LoadError at the first fault.

    Layers, shapes and rank must be those of the source's first adapter, whichever shard is read.
    `seed` matters to generated adapters only.
    """
    adapters = count(source)
    if not 0 <= start < stop <= adapters:
        raise LoadError(
            f"Adapters {start} to {stop - 1} were asked for; the source has {adapters}."
        )
    shard = _functions(source)[1](source, seed, start, stop)
    check_finite(shard.matrix, shard.layout, shard.names)
    return shard


def fingerprints(source: dict, ranges: list[tuple[int, int]]) -> list[str]:
    """For each range of adapters a digest of what they are read from: files and stated labels.

    Of a directory of adapters only those of the range and the first one count, with what is
    configured beside them; a table or matrix counts as a whole, as it is one file.
    """
    if source["kind"] == "safetensors":
        listed = _marked(folder.listed(source))
        return [digest(listed[:1], listed[start:stop]) for start, stop in ranges]
    paths = [Path(source[key]) for key in ("path", "dimensions", "labels") if key in source]
    with foreign(", ".join(map(str, paths))):
        trees = [sorted(path.rglob("*")) if path.is_dir() else [path] for path in paths]
        files = [path for tree in trees for path in tree if not path.is_dir()]
    return [digest(marks(files))] * len(ranges)


def _marked(listed: list[tuple]) -> list[tuple]:
    """Marks of each adapter and of the configuration beside it, and what the list says of it."""
    paths = [path for path, *_ in listed]
    beside = {path: path.with_name(PEFT_CONFIG) for path in paths}
    there = [path for path in dict.fromkeys(beside.values()) if path.exists()]
    marked = dict(zip([*paths, *there], marks([*paths, *there]), strict=True))
    return [(marked[path], marked.get(beside[path]), *labels) for path, *labels in listed]


def _functions(source: dict) -> tuple:
    if source.get("kind") not in KINDS:
        raise LoadError(f"No source of kind {source.get('kind')!r}; use one of {', '.join(KINDS)}.")
    return KINDS[source["kind"]]
