"""Read one shard of adapters: tensors/{shard}.npy, tensors/{shard}.json, index/{shard}.parquet.

Index columns: row (in the data source), name, label, group (null where unknown), sha256 (of the
row's float32 bytes), scale (alpha/r of each down/up pair).
"""

from pathlib import Path

from scripts.lib.stage import stage
from scripts.lora_ablation.data.sources import read
from scripts.lora_ablation.data.store import write_shard
from scripts.lora_ablation.specs import LoadJob


def main(spec: LoadJob, tensors: Path, layout: Path, index: Path) -> None:
    shard = read(spec.source, spec.seed, spec.start, spec.stop)
    write_shard(shard, tensors, layout, index)


if __name__ == "__main__":
    stage(main)
