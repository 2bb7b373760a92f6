"""A mistake in the Deep-GPCM study's configuration is one clear sentence before the first job."""

import pytest
import yaml

from scripts.deep_gpcm.check import check_deep_gpcm as checked
from scripts.lib.code import ROOT
from tests.mistakes import assert_refused

STUDY = "deep_gpcm"
CONFIG = yaml.safe_load((ROOT / "config/deep_gpcm.yaml").read_text())[STUDY]
TABLE = {"kind": "table", "path": "answers.csv"}

# Through Snakemake: sections as YAML text, and what the sentence says.
MISTAKES = {
    "misspelt key": ({"fold": "5"}, "deep_gpcm.fold", "did you mean 'folds'?"),
    "unknown data set": ({"data": "[mathematics]"}, "data is 'mathematics'", "did you mean"),
}

# Through the checks: keys to change, each by its place, and what the sentence says.
CHANGES = {
    "one fold": ({"folds": 1}, "deep_gpcm.folds is 1", "use 0 or 2"),
    "more folds of an arm": ({"run.reference.folds": 9}, "run.reference.folds is 9", "more than"),
    "all students validate": ({"validation": 0.9}, "deep_gpcm.validation is 0.9", "at most 0.5"),
    "wrong type": ({"train.batch": "many"}, "train.batch is 'many'", "type integer"),
    "NaN learning rate": ({"train.lr": float("nan")}, "train.lr is nan", "finite"),
    "misspelt option of an arm": (
        {"arms.adamw.train.optimiser": "adamw"},
        "arms.adamw.train.optimiser",
        "did you mean 'optimizer'?",
    ),
    "unknown memory": ({"arms.fused.memory": "fuse"}, "memory is 'fuse'", "did you mean 'fused'?"),
    "neither network nor model": (
        {"arms.mine": {"memory": "fused"}},
        "arms.mine",
        "an evaluation or a baseline",
    ),
    "both network and model": (
        {"arms.gpcm.evaluation": "tables"},
        "arms.gpcm",
        "an evaluation or a baseline",
    ),
    "option of a network for a baseline": (
        {"arms.gpcm.train": {"lr": 0.1}},
        "arms.gpcm is a baseline",
        "no other key",
    ),
    "memory that the evaluation does not use": (
        {"arms.reference.memory": "fused"},
        "arms.reference.memory has no effect",
        "use tables",
    ),
    "lengths upside down": (
        {"sources.A.lengths": [50, 10]},
        "sources.A.lengths is [50, 10]",
        "must be smaller",
    ),
    "key of another kind": (
        {"sources.A.path": "answers.csv"},
        "sources.A: a key of generated is 'path'",
        "Use one of: kind, students",
    ),
    "table without a path": (
        {"sources.mine": {"kind": "table"}},
        "sources.mine.path is missing",
        "table needs it",
    ),
    "name with a space": ({"sources.my answers": TABLE}, "my answers", "letters, digits and _"),
    "data set of an arm that is not there": (
        {"run.reference.data": ["smal"]},
        "run.reference.data is 'smal'",
        "did you mean 'small'?",
    ),
    "result arm on part of the data": (
        {"run.fused.data": ["small"]},
        "run.fused",
        "report.arm",
    ),
    "measured baseline": (
        {"measure.contestants.fused.arm": "gpcm"},
        "measures fused",
        "trains nothing",
    ),
    "whole folds without epochs": (
        {"measure.workloads.loading.work": "folds"},
        "workloads.loading.epochs is missing",
        "needs it",
    ),
    "measurement on unknown data": (
        {"measure.workloads.loading.data": "E"},
        "workloads.loading.data is 'E'",
        "Use one of: small",
    ),
    "agreement by no axis": ({"agreement.split": "n"}, "agreement.split is 'n'", "data"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_the_study_is_one_sentence_before_any_job(fresh_gpcm, mistake):
    sections, place, remedy = MISTAKES[mistake]
    sentence = fresh_gpcm.refusal(**sections)
    assert place in sentence
    assert remedy in sentence


def test_the_configuration_that_ships_is_faultless():
    checked(CONFIG)


@pytest.mark.parametrize("mistake", CHANGES)
def test_a_change_for_the_worse_is_one_sentence(mistake):
    changes, place, remedy = CHANGES[mistake]
    assert_refused(CONFIG, changes, checked, place, remedy)


def test_a_file_that_is_not_there_is_one_sentence_before_any_job(fresh_gpcm):
    config = fresh_gpcm.overlay(data="[mine]", sources="{mine: {kind: table, path: nowhere.csv}}")
    done = fresh_gpcm.snakemake(config=config)
    assert done.returncode != 0
    assert "nowhere.csv: cannot be read (No such file or directory)." in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert not (fresh_gpcm.folder / "results").exists()
