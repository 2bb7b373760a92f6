"""The overlays of docs/how-to/responses.md and tasks.md, taken from the pages, run to a page."""

import csv
import re

import numpy as np
import pandas as pd
import pytest
import yaml

from scripts.lib.code import ROOT
from tests.project import TINY, Project, copy_code

PAGES = {name: (ROOT / f"docs/how-to/{name}.md").read_text() for name in ("responses", "tasks")}


def block(page: str, language: str) -> str:
    """The one block of code of a page in this language."""
    (code,) = re.findall(rf"```{language}\n(.*?)```", PAGES[page], re.DOTALL)
    return code


@pytest.mark.parametrize("page", PAGES)
def test_an_overlay_has_at_most_six_lines_and_the_name_that_is_called(page):
    lines = [line for line in block(page, "yaml").splitlines() if not line.startswith("#")]
    assert len(lines) <= 6
    assert f"--configfile {page}.yaml" in PAGES[page]


def answers(folder) -> None:
    """60 students, answers coded from 1, each of three levels."""
    rng = np.random.default_rng(0)
    rows = [(f"s{s}", t, f"q{rng.integers(6)}", rng.integers(1, 4))
            for s in range(60) for t in range(rng.integers(3, 9))]  # fmt: skip
    with (folder / "answers.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("student", "time", "item", "response"), *rows])


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Project:
    """Both overlays in one run, over the smallest search and folds."""
    project = Project(copy_code(tmp_path_factory.mktemp("own") / "project"), "deep_gpcm")
    own = project.folder / "own"
    own.mkdir()
    answers(own)
    exec(block("tasks", "python").replace('"own/', f'"{own}/'))
    for page in PAGES:
        (project.folder / f"{page}.yaml").write_text(block(page, "yaml"))
    both = {"studies": ["deep_gpcm", "tep_bp"]}
    (project.folder / "both.yaml").write_text(yaml.safe_dump(both))
    tiny = f"{TINY['deep_gpcm']} {TINY['tep_bp']}"
    project.make(config=f"{tiny} responses.yaml tasks.yaml both.yaml")
    return project


@pytest.mark.slow
def test_all_that_was_trained_was_trained_on_the_users_data(made):
    results = made.folder / "results/mine"
    assert set(pd.read_parquet(results / "deep_gpcm/runs.parquet")["data"]) == {"mine"}
    assert [path.name for path in (results / "deep_gpcm/data").iterdir()] == ["mine"]
    assert [path.name for path in (results / "tep_bp/tasks").glob("*.npz")] == ["mine.npz"]


@pytest.mark.slow
def test_the_page_says_how_the_data_were_read_and_what_the_accuracy_is_worth(made):
    page = (made.folder / "results/mine/report.html").read_text()
    assert "from 1, as no 0 occurs" in page
    assert "quadrature nodes of gpcm" in page
    assert "each column less its mean" in page
    assert "barbera, barolo, grignolino" in page
    assert "classifiers of scikit-learn" in page
    assert "logistic regression" in page
    assert "lie outside" not in page  # what is expected of digits is not expected of wine


@pytest.mark.slow
def test_no_interval_of_an_accuracy_leaves_0_and_1(made):
    for study in ("deep_gpcm", "tep_bp"):
        table = pd.read_csv(made.folder / f"results/mine/{study}/summary.csv")
        share = table[table["metric"].str.endswith("accuracy")]
        assert len(share)
        known = share[["low", "high"]].dropna()
        assert ((known >= 0) & (known <= 1)).all(axis=None)


@pytest.mark.slow
def test_the_classifiers_do_on_standardised_wine_what_scikit_learn_does(made):
    table = pd.read_csv(made.folder / "results/mine/tep_bp/tables/classifiers.csv")
    assert table["seeds"].tolist() == [1, 3]
    assert (table["test_accuracy"] > 0.9).all()
    assert ((table["low"] >= 0) & (table["high"] <= 1)).all()
