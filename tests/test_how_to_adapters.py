"""The overlays of docs/how-to/adapters.md plan a run on the files that the page tells of."""

import json
import re

import numpy as np
import pytest
import yaml
from snakemake.utils import update_config

from scripts.lib.config import read_settings
from scripts.lora_ablation.jobs import Jobs, study
from scripts.lora_ablation.settings import Section
from tests.lora_cells import ROOT, configuration
from tests.lora_families import save_family
from tests.lora_files import save_adapter

PAGE = (ROOT / "docs/how-to/adapters.md").read_text(encoding="utf-8")
OVERLAYS = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)]
SELECTIONS = [
    ["all", "attention", "half0"],
    ["all", "early", "queries", "half0"],
    ["all", "half0"],
    ["all", "half0"],
]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """What the page tells of: adapters, networks, and a matrix."""
    folder = tmp_path_factory.mktemp("own")
    save_family("llama", folder / "adapters", 20)
    names = [f"{('bird', 'cat')[i % 2]}/a{i:02d}" for i in range(20)]
    rows = [f"{name},{name.split('/')[0]}" for name in names]
    (folder / "adapters/labels.csv").write_text("\n".join(["name,label", *rows]))
    rng = np.random.default_rng(1)
    for i, name in enumerate(names):
        weights = {"fc.weight": rng.standard_normal((3, 4)), "fc.bias": rng.standard_normal(3)}
        save_adapter(folder / f"networks/{i % 2}/{name[-3:]}.safetensors", weights)
    np.save(folder / "weights.npy", rng.standard_normal((20, 15)))
    (folder / "tensors.json").write_text(json.dumps({"fc.weight": [3, 4], "fc.bias": [3]}))
    (folder / "labels.csv").write_text("\n".join(["name,label", *rows]))
    return folder


@pytest.mark.parametrize(("overlay", "selections"), [*zip(OVERLAYS, SELECTIONS, strict=True)])
def test_an_overlay_of_the_page_plans_a_run(overlay, selections, files, monkeypatch):
    monkeypatch.chdir(files)
    assert overlay.pop("studies") == ["lora_ablation"]
    config = {"lora_ablation": configuration()}
    update_config(config, overlay)
    made = Jobs(read_settings(Section, config["lora_ablation"], "lora_ablation"), 42)
    assert made.section.selections == selections
    assert [job.stop - job.start for job in made.loads.values()] == [20]
    assert made.trains
    assert study(made.section, 42, True).runs
