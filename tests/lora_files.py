"""The same adapters as files of every kind that users bring, and what reads them back."""

import csv
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import safetensors.numpy
from pydantic import TypeAdapter

from scripts.lora_ablation.data import sources
from scripts.lora_ablation.data.layout import DOWN, UP, Layout, paired_layout, stem
from scripts.lora_ablation.data.store import Shard
from scripts.lora_ablation.data.tabular import nested
from scripts.lora_ablation.specs import DataSource
from tests.stages import one_sentence, run_stage

SOURCE = TypeAdapter(DataSource)
SIGNAL = {"attn1": 0.05, "attn2": 0.055, "leaf": 0.5}
BLOCK = "unet.mid_block.attentions.0.transformer_blocks.0."


def generated_source(adapters: int, rank: int = 1) -> dict:
    return {"kind": "generated", "adapters": adapters, "rank": rank, "signal": SIGNAL}


def generated(adapters: int, rank: int = 1) -> Shard:
    """Adapters of the built-in generator, full size."""
    return read(generated_source(adapters, rank), 42, 0, adapters)


def small(adapters: int = 6, rank: int = 2, modules=("attn1.to_q", "attn2.to_v")) -> Shard:
    """Adapters of a few small layers with random numbers, two classes, two groups in each."""
    shapes = {f"{BLOCK}{module}{DOWN}": (rank, 6) for module in modules}
    shapes |= {f"{BLOCK}{module}{UP}": (8, rank) for module in modules}
    layout = paired_layout(shapes, "small")
    matrix = np.random.default_rng(7).standard_normal((adapters, layout.width), np.float32)
    labels = ["bird", "cat"] * adapters
    return Shard(
        matrix=matrix,
        layout=layout,
        rows=range(adapters),
        names=[f"{labels[i]}/{i:02d}.safetensors" for i in range(adapters)],
        labels=labels[:adapters],
        groups=[f"{labels[i]}-{i % 4 // 2}" for i in range(adapters)],
        scales=np.ones((adapters, len(modules)), np.float32),
    )


def tensors(matrix_row: np.ndarray, layout: Layout) -> dict[str, np.ndarray]:
    """An adapter's tensors by name, each with its shape."""
    parts = np.split(matrix_row, layout.offsets[1:-1])
    return {
        name: part.reshape(shape)
        for name, shape, part in zip(layout.names, layout.shapes, parts, strict=True)
    }


def diffusers(name: str) -> str:
    return name


def hybrid(name: str) -> str:
    return name.replace(DOWN, ".lora_A.weight").replace(UP, ".lora_B.weight")


def peft(name: str) -> str:
    return hybrid(name.replace("unet.", "base_model.model.", 1))


def peft_default(name: str) -> str:
    return peft(name).replace(".weight", ".default.weight")


def legacy(name: str) -> str:
    module, projection = stem(name).removeprefix("unet.").rsplit(".", 1)
    return f"{module}.processor.{projection}_lora.{'down' if name.endswith(DOWN) else 'up'}.weight"


def kohya(name: str) -> str:
    module = stem(name).replace("unet.", "lora_unet_", 1).replace(".", "_")
    return f"{module}.lora_{'down' if name.endswith(DOWN) else 'up'}.weight"


FAMILIES = [diffusers, hybrid, peft, peft_default, legacy, kohya]


def save_adapter(path: Path, values: dict[str, np.ndarray], header: dict | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    contiguous = {name: np.ascontiguousarray(value) for name, value in values.items()}
    safetensors.numpy.save_file(contiguous, path, metadata=header)


def save_folder(shard: Shard, folder: Path, key=diffusers, dtype=np.float32) -> dict:
    """One safetensors file per adapter and a labels CSV; the data source that reads them."""
    for row, name in zip(shard.matrix, shard.names, strict=True):
        found = {key(n): v.astype(dtype) for n, v in tensors(row, shard.layout).items()}
        save_adapter(folder / name, found, {"class": name.split("/")[0]})
    labels = write_labels(shard, folder / "labels.csv")
    return {"kind": "safetensors", "path": str(folder), "labels": labels}


def write_labels(shard: Shard, path: Path) -> str:
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["name", "label", "group"])
        rows.writerows(zip(shard.names, shard.labels, shard.groups, strict=True))
    return str(path)


def table(shard: Shard, flat: bool = False) -> pa.Table:
    """The adapters as an Arrow table, weights in nested or flat lists."""
    columns = {"category_label": shard.labels, "category_name": shard.groups}
    columns["folder"] = shard.names
    for name, shape, start in zip(
        shard.layout.names, shard.layout.shapes, shard.layout.offsets, strict=False
    ):
        values = shard.matrix[:, start : start + shape[0] * shape[1]]
        columns[name] = pa.array(list(values)) if flat else nested(values, shape)
    return pa.table(columns)


def save_parquet(shard: Shard, path: Path, **options) -> dict:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table(shard), path, **options)
    return {"kind": "parquet", "path": str(path)}


def save_matrix(shard: Shard, folder: Path, key=diffusers) -> dict:
    """A matrix whose columns are in reverse tensor order, and its tables."""
    order = list(reversed(shard.layout.names))
    shapes = dict(zip(shard.layout.names, shard.layout.shapes, strict=True))
    folder.mkdir(parents=True, exist_ok=True)
    rows = [
        np.concatenate([tensors(row, shard.layout)[name].ravel() for name in order])
        for row in shard.matrix
    ]
    np.save(folder / "weights.npy", np.stack(rows))
    dimensions = {key(name): list(shapes[name]) for name in order}
    (folder / "dimensions.json").write_text(json.dumps(dimensions))
    return {
        "kind": "matrix",
        "path": str(folder / "weights.npy"),
        "dimensions": str(folder / "dimensions.json"),
        "labels": write_labels(shard, folder / "labels.csv"),
    }


def data_source(source: dict) -> DataSource:
    """What a configuration says of a data source, as the workflow reads it."""
    return SOURCE.validate_python(source)


def count(source: dict) -> int:
    return sources.count(data_source(source))


def read(source: dict, seed: int, start: int, stop: int) -> Shard:
    return sources.read(data_source(source), seed, start, stop)


def fingerprints(source: dict, ranges: list[tuple[int, int]]) -> list[str]:
    return sources.fingerprints(data_source(source), ranges)


def read_all(source: dict, adapters: int) -> Shard:
    return read(source, 42, 0, adapters)


def same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def outputs(folder: Path) -> dict[str, Path]:
    """The output files of load.py in `folder`."""
    names = {"tensors": "0.npy", "layout": "0.json", "index": "0.parquet"}
    return {key: folder / name for key, name in names.items()}


def load_job(source: dict, start: int, stop: int, seed: int = 42) -> dict:
    """What load.py is told."""
    return {"source": source, "read_from": "", "seed": seed, "start": start, "stop": stop}


def refusal(monkeypatch, source: dict, folder: Path, start: int = 0, stop: int = 2) -> str:
    """The one sentence with which load.py refuses a source, leaving no file behind."""
    out, job = folder / "out", load_job(source, start, stop)
    said = run_stage(monkeypatch, "lora_ablation/load.py", job, output=outputs(out))
    return one_sentence(said, out)
