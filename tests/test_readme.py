"""README is short, its numbers are those of the record, and its doors lead somewhere."""

import re
from urllib.parse import unquote

import pandas as pd
import pytest

from scripts.lib.code import ROOT
from scripts.lib.numerals import ranged

pytestmark = pytest.mark.spread
README = (ROOT / "README.md").read_text(encoding="utf-8")
LINES = README.splitlines()
RECORD = ROOT / "results/records/2026-11-30-proof"
# The rows of numbers: workload, arm, agreement and ratio.
NUMBERS = re.findall(
    r"\| `(\w+)` \| `(\w+)` \| `(\w+)` \| ([\d.]+ \([\d.]+ to [\d.]+\)) \|$", README, re.MULTILINE
)


def test_readme_is_short_and_no_line_or_cell_is_long():
    assert len(LINES) <= 120
    assert max(map(len, LINES)) <= 120
    cells = [cell for line in LINES if line.startswith("|") for cell in line.split("|")]
    assert max(len(cell.split()) for cell in cells) < 40


@pytest.mark.parametrize(("workload", "arm", "level", "printed"), NUMBERS)
def test_a_ratio_of_readme_is_that_of_its_record_and_its_proof_passed(
    workload, arm, level, printed
):
    ratios = pd.read_csv(RECORD / "ratios.csv")
    of = (ratios["workload"] == workload) & (ratios["faster"] == arm)
    of &= (ratios["slower"] == "reference") & (ratios["quantity"] == "fit_s")
    (row,) = ratios[of].to_dict("records")
    assert row["verdict"] in ("less", "more")
    assert ranged(row["measured"], row["low"], row["high"]) == printed
    agreement = pd.read_csv(RECORD / f"{row['study']}_agreement.csv")
    tests = agreement[agreement["arm"] == arm]
    assert set(tests["level"]) == {level}
    assert tests["passed"].dropna().all()
    assert tests["passed"].any()


def test_every_study_has_such_a_row():
    ratios = pd.read_csv(RECORD / "ratios.csv").set_index("workload")["study"]
    found = {ratios[workload].iloc[0] for workload, *_ in NUMBERS}
    assert found == {"engression", "lora_ablation", "deep_gpcm", "tep_bp"}
    assert len(NUMBERS) == 5


def test_the_sentence_above_the_numbers_is_that_of_the_record():
    said = (RECORD / "README.md").read_text(encoding="utf-8")
    assert "9 min 32 s" in said
    assert "9 min 32 s" in README
    noise = pd.read_csv(RECORD / "ratios.csv")["noise"].dropna()
    assert f"within {noise.min():.2f} to {noise.max():.2f}" in README
    assert f"all {len(noise)} rows" in README


def test_every_link_leads_somewhere_and_every_how_to_has_one():
    links = {unquote(link) for link in re.findall(r"\]\(([^)#]+)\)", README)}
    assert [link for link in links if not (ROOT / link).exists()] == []
    pages = {path.relative_to(ROOT).as_posix() for path in ROOT.glob("docs/how-to/*.md")}
    assert pages <= links


def test_every_file_that_a_command_of_readme_names_is_there():
    named = re.findall(r"\b(?:config/|profiles/|requirements)[\w./-]*\w", README)
    assert {"config/quick.yaml", "config/paper.yaml", "requirements.lock"} <= set(named)
    assert [name for name in named if not (ROOT / name).exists()] == []
