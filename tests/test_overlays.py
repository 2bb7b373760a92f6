"""An overlay needs only what it changes: shipped values give way to what it takes away."""

from copy import deepcopy

import pytest
import yaml
from snakemake.exceptions import WorkflowError
from snakemake.utils import update_config

from scripts.deep_gpcm.settings import Section as GpcmSection
from scripts.lib.config import read_settings
from scripts.lib.overlays import Limit, at, fitted, sentence
from scripts.lora_ablation.settings import Section
from tests.rule_files import read, shipped

pytestmark = pytest.mark.spread

# By study, one key changed at a time, as a user would.
SMALLEST = {
    "engression": """
axes: {law: [uniform]}
axes: {n: [200]}
axes: {law: [normal], n: [64]}
reps: 1
reps: 50
block: 1
net: {hidden: 32}
train: {max_epochs: 20}
eval: {test_draws: 100}
arms: {exact: {run: {reps: 0}}}
agreement: {strata: law}
summary: {means: [w1_test]}
summary: {proportions: []}
measure: {workers: 4}
measure: {workloads: {fixed_steps: {rounds: 0}}}
report: {title: Mine}
report: {table: [w1_test]}
only: [exact]
only: [antithetic]
only: [reference]
""",
    "lora_ablation": """
representations: [frequency]
representations: [simple_stats]
representations: [flat_vec]
representations: [product]
representations: [simple_stats, frequency]
selections: [all]
selections: [visual]
selections: [text]
runs: 1
runs: 10
block: 1
shard: 10
keep_tensors: false
split: stratified
sources: {generated: {adapters: 100}}
sources: {generated: {rank: 4}}
curves: {shares: []}
curves: {representations: []}
train: {hidden: 64}
early: {share: 100}
early: {representations: [frequency]}
prepare: {adapters: 1}
prepare: {ranks: [1]}
prepare: {ranks: [2]}
prepare: {arms: [reference, resident]}
arms: {reference: {run: {runs: 1}}}
measure: {workloads: {train: {rounds: 0}}}
summary: {means: [test_accuracy]}
report: {phases_of: load}
only: [resident]
only: [stacked]
only: [columns]
only: [reference]
""",
    "deep_gpcm": """
data: [small]
data: [B]
data: [A, C]
comparison: {A: B}
comparison: {B: B}
sources: {A: {students: 100}}
folds: 0
folds: 2
folds: 10
block: 1
validation: 0.2
model: {memory_size: 20}
train: {epochs: 2}
train: {precision: double}
arms: {gpcm: {run: {folds: 0}}}
measure: {workloads: {step_t49: {rounds: 0}}}
summary: {means: [nll]}
report: {table: [nll]}
only: [fused]
only: [gpcm]
only: [hoisted]
only: [adamw]
""",
    "tep_bp": """
task: xor
split_seed: 1
space: {hidden: [64]}
space: {batch: [32]}
space: {beta: [0.1, 0.5]}
search: {trials: 10}
search: {trials: 4}
search: {rules: [bp]}
search: {rules: [tep]}
search: {rules: [rbp]}
search: {rules: [tep, bp, rbp]}
search: {mode: halving}
search: {mode: rounds}
search: {mode: rounds, trials: 100}
search: {mode: halving, trials: 30}
search: {block: 10}
search: {sampler: random}
repeats: {top: 0}
train: {epochs: 2}
solvers: {plain: {free: 30}}
gate: {networks: 2}
gate: {again: []}
max_stack_elements: 100
arms: {gated: {solver: plain}}
gradient: {hidden: 8}
band: {best: null}
measure: {workloads: {tep: {rounds: 0}}}
summary: {means: [val_accuracy]}
only: [gated]
only: [stacked]
only: [legacy]
""",
}
CASES = [(study, line) for study, lines in SMALLEST.items() for line in lines.split("\n") if line]


def planned(study: str, text: str, **options) -> dict:
    """What rule files define where an overlay of one study has this text."""
    overlay = {study: yaml.safe_load(text)}
    wanted = ("seed", "pathvars", "engression", study)
    config = {key: value for key, value in shipped().items() if key in wanted}
    config["studies"] = [study]
    update_config(config, deepcopy(overlay))
    return read(config, study, overlay=overlay, **options)


def study_of(study: str, text: str):
    return planned(study, text)["STUDY"][study]


def arms_that_run(study: str, text: str) -> set[str]:
    runs = study_of(study, text).runs
    return {path.partition("/runs/")[2].partition("/")[0] for path in runs}


@pytest.mark.parametrize(("study", "text"), CASES)
def test_one_key_is_overlay_enough(study, text):
    found = planned(study, text)["STUDY"][study]
    assert found.runs


def test_representations_alone_are_trained_compared_and_measured():
    section = study_of("lora_ablation", "representations: [frequency]").settings
    assert section.early.representations == ["frequency"]
    assert section.arms["reference"].run.representations == ["frequency"]
    assert section.measure.workloads["train"].representations == ["frequency"]


def test_what_an_overlay_leaves_is_kept_in_its_order():
    section = study_of("lora_ablation", "representations: [matrix_norms, simple_stats]").settings
    assert section.arms["reference"].run.representations == ["simple_stats", "matrix_norms"]


def test_without_an_overlay_nothing_is_fitted():
    section = shipped()["lora_ablation"]
    assert fitted(section, None, [Limit("runs", lambda s: 1)]) == (section, {})


def test_what_an_overlay_names_itself_is_checked_and_never_fitted():
    with pytest.raises(WorkflowError, match=r"arms.reference.run.runs is 5, more than runs"):
        planned("lora_ablation", "{runs: 1, arms: {reference: {run: {runs: 5}}}}")
    with pytest.raises(WorkflowError, match=r"early.representations is 'spectral'"):
        planned(
            "lora_ablation",
            "{representations: [info_theoretic], early: {representations: [spectral]}}",
        )


def test_a_misspelt_name_is_no_reason_to_fit():
    with pytest.raises(WorkflowError, match="did you mean 'frequency'"):
        planned("lora_ablation", "representations: [frequencies]")


def test_a_limit_gives_way_by_what_it_is():
    section = {
        "whole": ["b", "c"], "most": 2,
        "arms": {"x": {"list": ["a", "b"], "one": "a", "many": 5}, "y": {"list": ["a"], "runs": 1}},
    }  # fmt: skip
    limits = [
        Limit("arms.*.list", at("whole"), {"runs": 0}),
        Limit("arms.*.one", at("whole")),
        Limit("arms.*.many", at("most")),
        Limit("nosuch.*.key", at("whole")),
        Limit("arms.*.list", at("nosuch")),
    ]
    found, changed = fitted(section, {"whole": ["b", "c"]}, limits)
    assert found["arms"] == {
        "x": {"list": ["b"], "one": "b", "many": 2},
        "y": {"list": ["a"], "runs": 0},
    }
    assert len(changed) == 4
    assert "one 'b' in arms.x" in sentence("mine", changed)
    assert section["arms"]["x"]["many"] == 5, "the shipped values themselves are not touched"


@pytest.mark.parametrize(
    ("study", "text", "arms"),
    [
        ("engression", "only: [exact]", {"reference", "truth", "antithetic", "exact"}),
        ("engression", "only: [antithetic]", {"reference", "antithetic"}),
        ("lora_ablation", "only: [resident]", {"reference", "truth", "resident"}),
        ("deep_gpcm", "only: [gpcm]", {"reference", "truth", "fused", "gpcm"}),
        ("tep_bp", "{only: [gated], arms: {gated: {solver: plain}}}", {"reference", "gated"}),
        (
            "tep_bp",
            "only: [gated]",
            {"reference", "truth", "gated", "fused", "economy", "fused_again", "economy_again"},
        ),
    ],
)
def test_only_runs_these_arms_and_whom_they_are_compared_with(study, text, arms):
    assert arms_that_run(study, text) == arms


@pytest.mark.parametrize(
    ("study", "text", "words"),
    [
        ("engression", "only: [exakt]", "only is 'exakt' (did you mean 'exact'?)"),
        ("engression", "only: []", "only is []"),
        ("lora_ablation", "only: [autocast]", "arms.autocast.run"),
        ("lora_ablation", "only: [weightwatcher]", "weightwatcher is not installed"),
    ],
)
def test_only_with_an_arm_that_cannot_run_is_one_sentence(study, text, words, monkeypatch):
    monkeypatch.setattr("scripts.lib.packages.installed", lambda package: "")
    with pytest.raises(WorkflowError) as error:
        planned(study, text)
    assert words in str(error.value)
    assert "\n" not in str(error.value)


OFF = "{measure: {workloads: {fixed_steps: {rounds: 0}, peers: {rounds: 0}, memory: {rounds: 0}}}}"


def test_answers_alone_need_no_measurement():
    assert planned("engression", OFF, costs=False)["STUDY"]["engression"].runs
    with pytest.raises(WorkflowError, match="measures nothing: snakemake --cores all science"):
        planned("engression", OFF)


def test_nothing_is_measured_on_built_in_data_beside_own():
    own = "sources: {mine: {kind: matrix, path: a, dimensions: b, labels: c}}"
    section = shipped()["lora_ablation"] | {"source": "mine"}
    overlay = {"source": "mine", **yaml.safe_load(own)}
    update_config(section, deepcopy(overlay))
    found, _ = fitted(section, overlay, Section.limits)
    loads = found["measure"]["workloads"].items()
    assert {name for name, load in loads if load["rounds"]} == {"scaler", "train", "products"}


def test_a_band_is_about_its_task():
    assert study_of("tep_bp", "train: {epochs: 20}").settings.expected.best is not None
    band = study_of("tep_bp", "task: xor").settings.expected
    assert (band.best, band.median, band.test, band.difference) == (None, None, None, None)


def test_own_data_are_known_by_where_they_come_from():
    assert study_of("tep_bp", "task: xor").settings.own_data == []
    section = shipped()["deep_gpcm"]
    mine = {"kind": "table", "path": "mine.csv"}
    update_config(section, {"data": ["mine"], "sources": {"mine": mine}})
    found, _ = fitted(section, {"data": ["mine"]}, GpcmSection.limits)
    settings = read_settings(GpcmSection, found, "deep_gpcm")
    assert settings.own_data == settings.compared == ["mine"]
    assert settings.measure.workloads["step_t49"].data == "mine"
