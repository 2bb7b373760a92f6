"""A mistake in the ablation's configuration is one clear sentence before the first job."""

from pathlib import Path

import pytest
import yaml

from scripts.lib.config import read_settings
from scripts.lib.contract import check_contract
from scripts.lora_ablation.jobs import study
from scripts.lora_ablation.settings import Section
from tests.mistakes import assert_refused

ROOT = Path(__file__).resolve().parents[1]
STUDY = "lora_ablation"
CONFIG = yaml.safe_load((ROOT / "config/lora_ablation.yaml").read_text())[STUDY]
MATRIX = {"kind": "matrix", "path": "weights.npy", "dimensions": "dimensions.json"}


def checked(config: dict) -> None:
    check_contract(study(read_settings(Section, config, STUDY), 42, active=False))


# Through Snakemake: sections as YAML text, and what the sentence says.
MISTAKES = {
    "misspelt key": ({"shards": "16"}, "lora_ablation.shards", "did you mean 'shard'?"),
    "unknown representation": (
        {"representations": "[simple_stats, spectrall]"},
        "lora_ablation.representations is 'spectrall'",
        "did you mean 'spectral'?",
    ),
    "source that is not there": ({"source": "mine"}, "source is 'mine'", "Use one of: generated"),
}

# Through the checks: keys to change, each by its place, and what the sentence says.
CHANGES = {
    "unknown selection": (
        {"selections": ["all", "visuals"]},
        "selections[1] is 'visuals'",
        "one of: all, visual",
    ),
    "wrong type": ({"shard": "many"}, "lora_ablation.shard is 'many'", "type integer"),
    "number for a switch": ({"keep_tensors": 1}, "keep_tensors is 1", "type boolean"),
    "no runs": ({"runs": 0}, "lora_ablation.runs is 0", "at least 1"),
    "negative runs of an arm": ({"arms.stacked.run.runs": -1}, "run.runs is -1", "at least 0"),
    "more runs of an arm": ({"arms.stacked.run.runs": 9}, "run.runs is 9", "more than runs"),
    "share of 120 %": ({"curves.shares": [25, 120]}, "curves.shares[1] is 120", "at most 99"),
    "share twice": ({"curves.shares": [25, 25]}, "curves.shares is [25, 25]", "not repeat"),
    "batch of one": ({"train.batch": 1}, "train.batch is 1", "at least 2"),
    "all values dropped": ({"train.dropout": 1}, "train.dropout is 1", "less than 1"),
    "misspelt option": ({"train.patiance": 3}, "train.patiance", "did you mean 'patience'?"),
    "misspelt option of an arm": (
        {"arms.guide.train.scrip": True},
        "arms.guide.train.scrip",
        "did you mean 'script'?",
    ),
    "option of another trainer": (
        {"arms.stacked.train": {"autocast": True}},
        "arms.stacked.train.autocast has no effect with the trainer stacked",
        "take it out",
    ),
    "normalisation of another trainer": (
        {"arms.batch_256.train.normalise": "guide"},
        "arms.batch_256.train.normalise has no effect with the trainer resident",
        "take it out",
    ),
    "option without a trainer": (
        {"arms.lowrank.train": {"legacy_cond": True}},
        "arms.lowrank.train.legacy_cond has no effect without a trainer",
        "take it out",
    ),
    "unknown split": ({"split": "random"}, "lora_ablation.split is 'random'", "grouped"),
    "unknown trainer": ({"arms.stacked.trainer": "stack"}, "trainer is 'stack'", "'stacked'"),
    "unknown way to load": ({"arms.columns.load": "python"}, "load is 'python'", "formatted"),
    "unknown work": (
        {"measure.workloads.load.work": "loading"},
        "measure.workloads.load.work is 'loading'",
        "did you mean 'load'?",
    ),
    "unknown contestant": (
        {"measure.workloads.train.contestants": ["residents"]},
        "measure.workloads.train.contestants is 'residents'",
        "did you mean 'resident'?",
    ),
    "contestant without the stage": (
        {"measure.workloads.train.contestants": ["reference", "lowrank"]},
        "measure.workloads.train measures lowrank",
        "has no trainer",
    ),
    "contestant without a way to the work": (
        {"measure.workloads.svd_r1.contestants": ["reference", "layerwise"]},
        "svd_r1: features of the contestant layerwise is 'layerwise'",
        "Use one of: loops, lowrank, union",
    ),
    "measured representation that is not computed": (
        {"measure.workloads.train.representations": ["product"]},
        "workloads.train.representations is 'product'",
        "Use one of: simple_stats",
    ),
    "curve of what is not computed": (
        {"curves.representations": ["product"]},
        "curves.representations is 'product'",
        "Use one of: simple_stats",
    ),
    "arm without a trainer to train": (
        {"arms.lowrank.run": {"runs": 1}},
        "arms.lowrank.run is to train cells",
        "the arm has no trainer",
    ),
    "cells of an arm that nobody else has": (
        {"arms.stacked.run.selections": ["half7"]},
        "arms.stacked.run.selections is 'half7'",
        "Use one of: all",
    ),
    "unknown arm": ({"arms.stackd": {}}, "arms.stackd.about", "is missing"),
    "two results": ({"arms.stacked.role": "result"}, "role result: resident, stacked", "to one"),
    "agreement by no axis": ({"agreement.strata": "n"}, "agreement.strata is 'n'", "stage"),
    "unknown kind of source": (
        {"sources.generated.kind": "torch"},
        "sources.generated.kind is 'torch'",
        "safetensors",
    ),
    "folder without labels": (
        {"sources.mine": {"kind": "safetensors", "path": "adapters"}},
        "sources.mine.labels is missing",
        "safetensors needs it",
    ),
    "matrix without labels": (
        {"sources.mine": MATRIX},
        "sources.mine.labels is missing",
        "matrix needs it",
    ),
    "key of another kind": (
        {"sources.generated.path": "adapters"},
        "sources.generated.path is no key",
        "Use one of: kind, adapters, rank, signal",
    ),
    "name with a space": (
        {"sources.my adapters": MATRIX},
        "my adapters",
        "lower-case letters, digits and _",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_the_ablation_is_one_sentence_before_any_job(fresh_lora, mistake):
    sections, place, remedy = MISTAKES[mistake]
    sentence = fresh_lora.refusal(**sections)
    assert place in sentence
    assert remedy in sentence


def test_the_configuration_that_ships_is_faultless():
    checked(CONFIG)


@pytest.mark.parametrize("mistake", CHANGES)
def test_a_change_for_the_worse_is_one_sentence(mistake):
    changes, place, remedy = CHANGES[mistake]
    assert_refused(CONFIG, changes, checked, place, remedy)
