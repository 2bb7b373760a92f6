"""The study that docs/own-study.md builds, taken from the page, runs and says what it promises."""

import re

import pandas as pd
import pytest

from scripts.lib.code import ROOT
from tests.chapters import assert_sound
from tests.project import Project, copy_code

PAGE = (ROOT / "docs/own-study.md").read_text(encoding="utf-8")


def block(language: str) -> str:
    """The one block of code of the page in this language."""
    (code,) = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    return code


@pytest.fixture(scope="module")
def kmeans(tmp_path_factory) -> Project:
    project = Project(copy_code(tmp_path_factory.mktemp("kmeans") / "project"))
    folder = project.folder
    (folder / "scripts/kmeans").mkdir()
    (folder / "scripts/kmeans/study.py").write_text(block("python"))
    (folder / "config/kmeans.yaml").write_text(block("yaml"))
    (folder / "workflow/report/kmeans.html").write_text(block("html"))
    (folder / "own.yaml").write_text("studies: [kmeans]\n")
    project.make(config="own.yaml")
    return project


def test_all_starts_at_once_and_scikit_learn_give_the_answer_of_lloyd(kmeans):
    agreement = pd.read_csv(kmeans.folder / "results/kmeans/agreement.csv")
    tests = agreement[agreement["test"].isin(["close", "equivalent"])]
    assert set(tests["arm"]) == {"stacked", "peer"}
    assert set(tests["where"]) == {"k = 3", "k = 8"}
    assert tests["passed"].all()


def test_the_study_of_the_page_has_ratios_and_a_chapter(kmeans):
    ratios = pd.read_csv(kmeans.folder / "results/ratios.csv")
    stacked = ratios[(ratios["faster"] == "stacked") & (ratios["quantity"] == "cpu_s")]
    assert len(stacked) == 1
    assert stacked["measured"].notna().all()
    page = (kmeans.folder / "results/report.html").read_text()
    assert "Restarts of k-means" in page
    assert_sound(page)
    common = ("arms", "cells", "agreement", "cost", "ratios", "phases", "limits")
    for fold in ("method", "why", *common):
        assert f'id="kmeans-{fold}"' in page
    assert "has 20 random starts" in page


def test_a_second_run_of_it_has_nothing_to_do(kmeans):
    assert kmeans.jobs(config="own.yaml") == {}


def test_the_page_names_every_piece_that_a_study_may_have():
    from scripts.lib import own_study as study

    pieces = re.findall(r"^    ([A-Za-z]+)[ (]", study.__doc__, re.MULTILINE)
    assert len(pieces) >= 9
    for piece in pieces:
        assert re.search(rf"^\| `{piece}\b", PAGE, re.MULTILINE), piece
