"""Generated adapters on disk as the authors' are: a `datasets` directory of nested lists."""

from pathlib import Path

from scripts.lib.files import replacing
from scripts.lib.stage import arguments
from scripts.lora_ablation.data.access import save_nested
from scripts.lora_ablation.data.sources import read

if __name__ == "__main__":
    args = arguments(dataset=Path)
    source = args.spec["source"]
    shard = read(source, args.spec["seed"], 0, source["adapters"])
    with replacing(args.dataset) as temporary:
        save_nested(shard.matrix, shard.layout, shard.labels, temporary)
