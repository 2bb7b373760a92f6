"""Generated adapters on disk as the authors' are: a `datasets` directory of nested lists."""

from pathlib import Path

from scripts.lib.files import replacing
from scripts.lib.stage import stage
from scripts.lora_ablation.data.sources import read
from scripts.lora_ablation.data.tabular import save_nested
from scripts.lora_ablation.specs import NestedJob


def main(spec: NestedJob, dataset: Path) -> None:
    shard = read(spec.source, spec.seed, 0, spec.source.adapters)
    with replacing(dataset) as temporary:
        save_nested(shard.matrix, shard.layout, shard.labels, temporary)


if __name__ == "__main__":
    stage(main)
