"""A mistake in the Deep-GPCM study's configuration is one clear sentence before the first job."""

import pytest
import yaml

from scripts.deep_gpcm.checks import check, check_interpreter
from scripts.deep_gpcm.jobs import Jobs, study
from scripts.deep_gpcm.settings import Section
from scripts.lib.code import ROOT
from scripts.lib.config import read_settings
from scripts.lib.contract import check_contract
from scripts.lib.faults import ConfigError
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
    "a memory of a package that the arm does not name": (
        {"arms.function.memory": "triton"},
        "arms.function.memory is triton",
        "package: triton",
    ),
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
    "comparison in the place of an unknown data set": (
        {"comparison": {"E": "small"}},
        "comparison: data set is 'E'",
        "Use one of: small",
    ),
    "comparison on an unknown data set": (
        {"comparison.A": "smal"},
        "comparison.A is 'smal'",
        "did you mean 'small'?",
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


def test_kernels_for_a_gpu_on_a_cpu_are_one_sentence_before_any_job_unless_interpreted(monkeypatch):
    arms = CONFIG["arms"] | {"triton": CONFIG["arms"]["triton"] | {"run": {"folds": 5}}}
    off, on = (read_settings(Section, CONFIG | {"arms": x}, STUDY) for x in (CONFIG["arms"], arms))
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    check_interpreter(on)
    monkeypatch.delenv("TRITON_INTERPRET")
    check_interpreter(off)
    with pytest.raises(ConfigError, match=r"arms.triton.memory is triton.* TRITON_INTERPRET=1"):
        check_interpreter(on)


OWN = {"kind": "generated", "students": 9, "questions": 4, "categories": 3, "lengths": [2, 9]}


def with_own(**changes) -> Section:
    """The configuration that ships with a user's data set in it, and nothing else changed."""
    sources = CONFIG["sources"] | {"mine": OWN, "other": OWN}
    return read_settings(Section, CONFIG | {"data": ["mine"], "sources": sources} | changes, STUDY)


def test_an_overlay_that_names_an_own_data_set_trains_on_it_alone():
    section = with_own()
    check(section)
    jobs = Jobs(section, 42)
    trained = [data for _, data, *_ in (*jobs.training, *jobs.baselines)]
    assert len(trained) > 12
    assert set(trained) == {"mine"}
    assert section.active == section.measured_data() == ["mine"]
    assert {load.where for load in section.measure.workloads.values() if load.rounds} == {"mine"}
    # All arms that run on what ships run on it too.
    shipped = Jobs(read_settings(Section, CONFIG, STUDY), 42)
    arms = {name for name, *_ in (*shipped.training, *shipped.baselines)}
    assert {name for name, *_ in (*jobs.training, *jobs.baselines)} == arms


def test_every_own_data_set_is_compared_on_itself_or_on_the_one_that_is_named():
    both = with_own(data=["mine", "other"])
    assert both.compared == ["mine", "other"]
    assert both.folds_of("reference") == {"mine": 5, "other": 5}
    apart = with_own(comparison={"mine": "other"})
    assert apart.active == ["mine", "other"]
    assert apart.folds_of("fused") == {"mine": 5, "other": 5}
    assert apart.folds_of("reference") == {"other": 5}


def test_what_ships_is_compared_on_the_small_set():
    section = read_settings(Section, CONFIG, STUDY)
    assert (section.data, section.compared) == (["A"], ["small"])
    step = section.measure.workloads["step_t49"]
    assert (step.data, step.where) == ("A", "small")
    assert section.measure.workloads["classical"].data == "small"


def test_a_file_that_is_not_there_is_one_sentence_before_any_job(fresh_gpcm):
    config = fresh_gpcm.overlay(data="[mine]", sources="{mine: {kind: table, path: nowhere.csv}}")
    done = fresh_gpcm.snakemake(config=config)
    assert done.returncode != 0
    assert "nowhere.csv: cannot be read (No such file or directory)." in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert not (fresh_gpcm.folder / "results").exists()
