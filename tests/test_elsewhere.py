"""The workflow runs in any working directory: data and results are there, code is here."""

from pathlib import Path

import pytest

from scripts.lib.code import ROOT
from scripts.lib.root import ours
from tests.elsewhere import said, snakemake

pytestmark = pytest.mark.spread
LEAST = {
    "studies": ["engression"],
    "engression": {
        "only": ["antithetic"],
        "axes": {"law": ["normal"], "n": [16]},
        "reps": 2,
        "net": {"noise_dim": 8, "hidden": 4, "hidden_layers": 2},
        "train": {"m": 4, "batch": 16, "max_epochs": 3},
        "eval": {"test_draws": 200},
        "measure": {
            "workloads": {
                "fixed_steps": {"n": [16], "rounds": 2, "budget_s": 0.1},
                "memory": {"rounds": 0},
            }
        },
    },
}
ANSWERS = "student,time,item,response\n" + "".join(
    f"s{i},{j},q{j},{(i + j) % 3}\n" for i in range(30) for j in range(4)
)


@pytest.fixture
def folder(tmp_path) -> Path:
    """A place whose name has blanks, a quote, brackets and letters beyond ASCII."""
    place = tmp_path / "Größe, l'été [1]"
    place.mkdir()
    return place


def listed(folder: Path) -> list[Path]:
    """What is in a folder, but for what is known of the code (scripts/lib/parsed.py)."""
    return sorted(path for path in folder.iterdir() if path.name != ".snakemake")


def answers(path: str) -> dict:
    mine = {"kind": "table", "path": path}
    return {"studies": ["deep_gpcm"], "deep_gpcm": {"data": ["mine"], "sources": {"mine": mine}}}


@pytest.mark.slow
def test_a_run_elsewhere_makes_a_page_there_and_nothing_here(folder, tmp_path):
    here = listed(ROOT)
    done = snakemake(folder, LEAST, cwd=tmp_path)
    assert done.returncode == 0, "\n".join(said(done)[-40:])
    page = (folder / "results/report.html").read_text(encoding="utf-8")
    assert "Engression replications" in page
    assert listed(ROOT) == here
    again = snakemake(folder, LEAST, "--dry-run", cwd=tmp_path)
    assert any("Nothing to be done" in line for line in said(again))


def test_another_package_of_the_name_scripts_is_not_taken_for_ours(folder):
    (folder / "scripts").mkdir()
    (folder / "scripts/__init__.py").write_text("raise SystemExit('taken for ours')")
    done = snakemake(folder, LEAST, "results/engression/data/reps-000-001.parquet")
    assert done.returncode == 0, "\n".join(said(done)[-40:])
    assert (folder / "results/engression/data/reps-000-001.parquet").is_file()


def test_paths_of_data_begin_in_the_working_directory(folder, tmp_path):
    (folder / "Antworten 2é.csv").write_text(ANSWERS, encoding="utf-8")
    done = snakemake(folder, answers("Antworten 2é.csv"), "--dry-run", cwd=tmp_path)
    assert done.returncode == 0, "\n".join(said(done)[-40:])
    assert any("deep_gpcm_load" in line for line in said(done))


def test_a_missing_file_is_told_with_the_working_directory(folder, tmp_path):
    (tmp_path / "answers.csv").write_text(ANSWERS)  # where the call comes from, but not --directory
    done = snakemake(folder, answers("answers.csv"), "--dry-run", cwd=tmp_path)
    assert done.returncode != 0
    (told,) = [line for line in said(done) if line.startswith("answers.csv")]
    assert told == (
        "answers.csv: cannot be read (No such file or directory). Relative paths begin in the "
        f"working directory, {folder}."
    )


def test_a_file_of_ours_keeps_its_name_at_home(monkeypatch, tmp_path):
    monkeypatch.chdir(ROOT)
    assert ours("config/claims.csv") == "config/claims.csv"
    monkeypatch.chdir(tmp_path)
    assert ours("config/claims.csv") == str(ROOT / "config/claims.csv")
