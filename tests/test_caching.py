"""What reruns and what does not: every edit is followed by a count of the jobs it causes."""

import os
import shutil
import time

import pytest

from tests.project import Project, copy_code

pytestmark = pytest.mark.spread

TRAINING = {"engression_train": 6}
AFTER_TRAINING = {"aggregate": 1, "agree": 1, "ledger": 1, "peers": 1, "report": 1}
MEASURED = {"measure": 1}


def test_the_second_run_has_nothing_to_do(finished):
    done = finished.snakemake()
    assert "Nothing to be done" in done.stdout + done.stderr


def test_touching_every_file_reruns_nothing(finished):
    later = time.time() + 60
    for name in ("Snakefile", "workflow", "scripts", "config"):
        for path in [finished.folder / name, *(finished.folder / name).rglob("*")]:
            os.utime(path, (later, later))
    assert finished.jobs() == {}


def test_a_fresh_clone_with_the_old_results_reruns_nothing(finished, tmp_path):
    clone = Project(copy_code(tmp_path / "clone"))
    for name in ("results", ".snakemake"):
        shutil.copytree(finished.folder / name, clone.folder / name)
    assert clone.jobs() == {}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("import torch\n", "import torch\n\n# a comment\n"),
        ('"""The generator g', '"""This generator g'),
        ("    layers, start = [], 0\n", "    layers, start = (\n        [],\n        0,\n    )\n"),
    ],
    ids=["comment", "docstring", "format"],
)
def test_a_change_without_meaning_reruns_nothing(finished, old, new):
    finished.edit("scripts/engression/models/network.py", old, new)
    assert finished.jobs() == {}


def test_an_edit_two_imports_away_reruns_exactly_its_dependants(finished):
    # losses.py is imported by projected.py and others, which are imported by study.py
    finished.edit("scripts/engression/models/losses.py", "0.5 * term2", "0.25 * term2")
    assert finished.jobs() == TRAINING | AFTER_TRAINING | MEASURED


@pytest.mark.parametrize(
    ("file", "old", "new", "trained"),
    [
        ("models/exact.py", "0.5 * term2", "0.25 * term2", {"engression_train": 1}),
        ("models/projected.py", "self.steps + 1", "self.steps + 2", {"engression_train": 2}),
        ("study.py", "descended(unit, Grouped", "(descended)(unit, Grouped", {}),
        ("study.py", "fit(unit, fit_autograd, cdist", "fit(unit, None or fit_autograd, cdist", {}),
    ],
    ids=["module of an arm", "module of another", "layout of an arm", "arm that computes nothing"],
)
def test_an_edit_of_one_arm_retrains_that_arm(finished, file, old, new, trained):
    finished.edit(f"scripts/engression/{file}", old, new)
    jobs = finished.jobs("science")
    assert jobs == trained | ({"aggregate": 1, "agree": 1} if trained else {})


def test_the_reason_names_the_edited_file(finished):
    finished.edit("scripts/engression/models/losses.py", "0.5 * term2", "0.25 * term2")
    done = finished.snakemake("--dry-run")
    assert "scripts/engression/models/losses.py@" in done.stdout + done.stderr


def test_an_edit_of_the_statistics_retrains_nothing(finished):
    finished.edit("scripts/lib/stats.py", "draws: int = 10_000", "draws: int = 9_000")
    # What a ratio is known to decides how many rounds are measured.
    assert finished.jobs() == AFTER_TRAINING | MEASURED


@pytest.mark.parametrize("file", ["page.html", "page.css", "engression.html"])
def test_an_edit_of_the_words_or_the_looks_of_the_report_reruns_it_alone(finished, file):
    path = finished.folder / "workflow/report" / file
    path.write_text(path.read_text() + "\n")
    assert finished.jobs() == {"report": 1}


def test_an_edit_of_what_a_chapter_says_of_another_study_reruns_nothing(finished):
    finished.edit("scripts/tep_bp/chapter.py", "ANOTHER", "another")
    assert finished.jobs() == {}


def test_a_training_option_retrains_but_simulates_nothing(finished):
    config = finished.overlay(train="{m: 4, batch: 16, max_epochs: 2}")
    assert finished.jobs(config=config) == TRAINING | AFTER_TRAINING


def test_an_option_of_one_arm_retrains_that_arm(finished):
    option = "{antithetic: {options: {draws_per_point: 4}}}"
    config = finished.overlay(arms=option)
    jobs = finished.jobs(config=config)
    assert jobs == {"engression_train": 2} | AFTER_TRAINING | MEASURED


def test_an_edit_undone_reruns_nothing(finished):
    finished.edit("scripts/engression/models/losses.py", "0.5 * term2", "0.25 * term2")
    finished.edit("scripts/engression/models/losses.py", "0.25 * term2", "0.5 * term2")
    assert finished.jobs() == {}
