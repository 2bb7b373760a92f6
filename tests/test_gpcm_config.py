"""A mistake in the Deep-GPCM study's configuration is one clear sentence before the first job."""

import pytest
import yaml

from scripts.deep_gpcm.jobs import study
from scripts.deep_gpcm.settings import Section, check
from scripts.lib.code import ROOT
from scripts.lib.config import read_settings
from scripts.lib.contract import check_contract
from tests.mistakes import assert_refused

STUDY = "deep_gpcm"
CONFIG = yaml.safe_load((ROOT / "config/deep_gpcm.yaml").read_text())[STUDY]


def checked(config: dict) -> None:
    section = read_settings(Section, config, STUDY)
    check(section)
    check_contract(study(section, 42, active=False))


LINES = {"kind": "three_lines", "files": [], "format": "OC", "questions": 3, "categories": 2,
         "id_base": 0}  # fmt: skip
TABLE = {"kind": "table", "path": "answers.csv"}

# Through Snakemake: sections as YAML text, and what the sentence says.
MISTAKES = {
    "misspelt key": ({"fold": "5"}, "deep_gpcm.fold", "did you mean 'folds'?"),
    "unknown data set": ({"data": "[mathematics]"}, "data is 'mathematics'", "did you mean"),
}

# Through the checks: keys to change, each by its place, and what the sentence says.
CHANGES = {
    "one fold": ({"folds": 1}, "deep_gpcm.folds is 1", "use 0 or 2"),
    "more folds of an arm": (
        {"arms.reference.run.folds": 9},
        "arms.reference.run.folds is 9",
        "more than",
    ),
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
        {"arms.mine": {"about": "Mine.", "role": "peer", "memory": "fused"}},
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
        "arms.reference.memory has no effect with the evaluation stepwise",
        "take it out",
    ),
    "heads that the evaluation does not use": (
        {"arms.hoisted.heads": "compiled"},
        "arms.hoisted.heads has no effect with the evaluation hoisted",
        "take it out",
    ),
    "processes of a loader that has none": (
        {"arms.hoisted.train": {"workers": 4}},
        "arms.hoisted.train.workers has no effect with the loader resident",
        "take it out",
    ),
    "lengths upside down": (
        {"sources.A.lengths": [50, 10]},
        "sources.A.lengths is [50, 10]",
        "must be smaller",
    ),
    "key of another kind": (
        {"sources.A.path": "answers.csv"},
        "sources.A.path is no key",
        "students, questions",
    ),
    "table without a path": (
        {"sources.mine": {"kind": "table"}},
        "sources.mine.path is missing",
        "table needs it",
    ),
    "name with a space": ({"sources.my answers": TABLE}, "my answers", "letters, digits and _"),
    "data set of an arm that is not there": (
        {"arms.reference.run.data": ["smal"]},
        "arms.reference.run.data is 'smal'",
        "did you mean 'small'?",
    ),
    "result arm on part of the data": (
        {"arms.fused.run.data": ["small"]},
        "arms.fused.run",
        "the result",
    ),
    "measured baseline": (
        {"measure.workloads.loading.contestants": ["reference", "gpcm"]},
        "measures gpcm",
        "trains nothing",
    ),
    "measured network among classical models": (
        {"measure.workloads.classical.contestants": ["gpcm", "fused"]},
        "measures fused",
        "is no classical model",
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
    "agreement by no axis": ({"agreement.strata": "n"}, "agreement.strata is 'n'", "data"),
    "old place of the runs": ({"run": {}}, "deep_gpcm.run has another name", "arms.<name>.run"),
    "old name of an axis": ({"agreement.split": "data"}, "agreement.split", "agreement.strata"),
    "no files": ({"sources.mine": LINES}, "sources.mine.files is []", "at least 1"),
    "unknown kind": ({"sources.A.kind": "x"}, "sources.A.kind is 'x'", "Use one of: generated"),
    "wrong type in an arm": ({"arms.adamw.train.batch": "x"}, "adamw.train.batch", "integer"),
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
