"""Every overlay of docs/how-to/overlays.md is planned as it stands there."""

import re
from copy import deepcopy

import pytest
import yaml
from snakemake.utils import update_config

from scripts.lib.code import ROOT
from tests.rule_files import read, shipped

pytestmark = pytest.mark.spread
PAGE = (ROOT / "docs/how-to/overlays.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize("text", BLOCKS, ids=[block.split("\n")[1].strip() for block in BLOCKS])
def test_an_overlay_of_the_page_is_planned(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "answers.csv").write_text("student,time,item,response\n")
    overlay = yaml.safe_load(text)
    config = shipped()
    update_config(config, deepcopy(overlay))
    costs = "fixed_steps: {rounds: 0}" not in text
    found = read(config, overlay=overlay, costs=costs)
    assert list(found["STUDIES"]) == overlay["studies"]
    assert all(found["STUDY"][study].runs for study in found["STUDIES"])


def test_the_page_has_overlays():
    assert len(BLOCKS) == 6
