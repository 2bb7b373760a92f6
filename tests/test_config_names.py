"""Names, counts and folders that the workflow could not use are refused before the first job."""

from copy import deepcopy

import pytest
import yaml
from snakemake.exceptions import WorkflowError

from scripts.lib.code import ROOT
from scripts.lib.config import check_results
from scripts.lib.faults import ConfigError
from scripts.lib.yaml_files import check_file
from tests.rule_files import STUDIES, read, shipped


def changed(changes: dict) -> dict:
    """The configuration that ships with keys changed, each named by its place."""
    config = shipped()
    for where, value in changes.items():
        *path, key = where.split(".")
        node = config
        for name in path:
            node[name] = deepcopy(node.get(name, {}))
            node = node[name]
        node[key] = value
    return config


def refusal(changes: dict, *studies: str) -> str:
    """The sentence with which the workflow refuses the changed configuration."""
    with pytest.raises(WorkflowError) as error:
        read(changed(changes), *studies)
    sentence = str(error.value)
    assert "\n" not in sentence
    assert sentence.startswith("Config: ")
    assert sentence.endswith(".")
    return sentence


def off(study: str, key: str, but: tuple[str, ...] = ()) -> dict:
    """Changes that switch off every arm of a study, but some."""
    return {
        f"{study}.arms.{arm}.run": {key: 0} for arm in shipped()[study]["arms"] if arm not in but
    }


# {what is wrong: (changes, words of the sentence)}
NAMES = {
    "metric of the summary": ({"engression.summary.means": ["nosuch"]}, "means is 'nosuch'"),
    "a list cannot be averaged": ({"tep_bp.summary.means": ["curve"]}, "summary.means is 'curve'"),
    "a mean is no share": (
        {"engression.summary.proportions": ["excess_loss"]},
        "proportions is 'excess_loss'",
    ),
    "metric of a test": (
        {"engression.arms.exact.claim.close": {"early_value": 1.0}},
        "arms.exact.claim.close is 'early_value' (did you mean 'early_values'?)",
    ),
    "metric without a test": (
        {"deep_gpcm.arms.fused.claim.reported": ["nosuch"]},
        "arms.fused.claim.reported is 'nosuch'",
    ),
    "list for a test of means": (
        {"tep_bp.arms.fused.claim.equivalent": {"early_losses": 0.1}},
        "arms.fused.claim.equivalent is 'early_losses'",
    ),
    "metric of the figure": (
        {"lora_ablation.report.figure.metric": "nosuch"},
        "report.figure.metric is 'nosuch'",
    ),
    "panels": ({"engression.report.figure.panel": "laws"}, "figure.panel is 'laws' (did you mean"),
    "x axis": ({"engression.report.figure.x": "nosuch"}, "figure.x is 'nosuch'. Use one of: law"),
    "table of what is not summarised": (
        {"engression.report.table": ["ks"]},
        "report.table is 'ks'",
    ),
    "axis of only": ({"tep_bp.report.only": {"nosuch": 1}}, "report.only: axis is 'nosuch'"),
    "value of only": ({"engression.report.only": {"law": "normall"}}, "only.law is 'normall'"),
    "phase": ({"deep_gpcm.report.phases": ["foward"]}, "phases is 'foward' (did you mean"),
    "workload of the phases": ({"tep_bp.report.phases_of": "nosuch"}, "phases_of is 'nosuch'"),
    "part of the study": (
        {"lora_ablation.measure.workloads.svd_r1.where": "features_r5"},
        "svd_r1.where is 'features_r5'",
    ),
    "a contestant with the twin's name": (
        {"engression.measure.contestants.reference_again": {"arm": "antithetic"}},
        "a contestant reference_again, which is the name of the twin of reference",
    ),
    "the twin as its own twin": (
        {"engression.measure.compare.baseline": "reference_again"},
        "compare.baseline is 'reference_again'",
    ),
    "nothing measured": (
        {
            f"engression.measure.workloads.{name}.rounds": 0
            for name in ("fixed_steps", "peers", "memory")
        },
        "snakemake --cores all science",
    ),
    "nobody beside the baseline": (
        {
            f"engression.measure.workloads.{name}.contestants": ["reference"]
            for name in ("fixed_steps", "memory")
        },
        "nobody beside reference",
    ),
    "only the reference runs": (
        off("engression", "reps", but=("reference",))
        | {"engression.arms.antithetic.role": "implementation"},
        "engression.arms that claim something compute nothing",
    ),
    "result arm of engression off": (
        {"engression.arms.antithetic.run": {"reps": 0}},
        "engression.arms.antithetic.run computes nothing",
    ),
    "result arm of LoRA off": (
        {"lora_ablation.arms.resident.run": {"runs": 0}},
        "lora_ablation.arms.resident.run trains nothing",
    ),
    "result arm of Deep-GPCM off": (
        {"deep_gpcm.arms.fused.run": {"folds": 0}},
        "deep_gpcm.arms.fused.run must have all data sets",
    ),
    "preparation without the reference": (
        {"lora_ablation.prepare.arms": ["resident"]},
        "prepare.arms is without reference",
    ),
    "rank twice": ({"lora_ablation.prepare.ranks": [1, 1]}, "prepare.ranks is [1, 1]; it must not"),
    "more to repeat than was searched": (
        {"tep_bp.repeats.top": 301},
        "tep_bp.repeats.top is 301, but search has 300 trials",
    ),
    "more to repeat than the last rung has": (
        {"tep_bp.repeats.top": 35, "tep_bp.search.mode": "halving"},
        "but rung2 has 34 trials",
    ),
    "rungs that do not rise": (
        {"tep_bp.search.halving.epochs": [3, 30, 10]},
        "halving.epochs is [3, 30, 10]; the numbers must rise",
    ),
    "band upside down": (
        {"tep_bp.band.best": [0.9, 0.8]},
        "band.best is [0.9, 0.8]; it must have numbers that rise",
    ),
    "work without matrices": (
        {"lora_ablation.measure.workloads.mine": {
            "work": "svd", "where": "load", "rank": 1, "rounds": 1, "contestants": ["reference"],
        }},
        "workloads.mine.matrices is missing; svd needs it",
    ),
    "work without representations": (
        {"lora_ablation.measure.workloads.mine": {
            "work": "total", "where": "train", "adapters": 2, "rounds": 1,
            "contestants": ["reference"],
        }},
        "workloads.mine.representations is missing",
    ),
    "arm without a way of its own": (
        {"lora_ablation.arms.mine": {"about": "Mine.", "role": "peer", "features": "layerwise"},
         "lora_ablation.measure.workloads.fft.contestants": ["reference", "mine"]},
        "fft: features of the contestant mine is 'layerwise'. Use one of: loops, union",
    ),
    "steps without their number": (
        {"deep_gpcm.measure.workloads.inference.work": "step"},
        "workloads.inference.steps is missing; step needs it",
    ),
}  # fmt: skip

WORDS = {
    "integral float": (
        {"engression.reps": 3.0},
        "reps is 3.0; it must be of type integer: write 3.",
    ),
    "switch for a count": (
        {"lora_ablation.runs": True},
        "runs is true; it must be of type integer",
    ),
    "number that YAML takes for text": (
        {"engression.train.lr": "1e-4"},
        "write 1.0e-4 (YAML reads 1e-4 as text)",
    ),
    "count in quotes": ({"deep_gpcm.folds": "5"}, "write 5 without quotes"),
    "name that YAML takes for a switch": (
        {"engression.arms": {True: {"role": "peer"}}},
        "engression.arms has the key true, which YAML does not read as text; put it in quotes",
    ),
    "text that YAML takes for a switch": (
        {"engression.report.title": False},
        "(YAML reads on, off, yes and no as true and false): put it in quotes",
    ),
    "name with a space": (
        {"engression.arms.my arm": {"about": "Mine.", "role": "peer"}},
        "arms has the name 'my arm'; it must be made of lower-case letters, digits and _.",
    ),
    "three moments": (
        {"engression.train.betas": [0.9, 0.9, 0.9]},
        "it must have at most 2 entries",
    ),
    "path of nothing": (
        {"tep_bp.tasks.mine": {"kind": "npz", "path": ""}},
        "tasks.mine.path is ''; it must not be empty",
    ),
    "solver of another name": ({"tep_bp.solvers.plane": {}}, "did you mean 'plain'?"),
    "place in the space": (
        {"tep_bp.space.hidden": [12]},
        "tep_bp.space.hidden[0] is 12; it must be a multiple of 8",
    ),
    "number beyond all tables": ({"seed": 10**40}, "seed is 1000"),
    "line break": ({"engression.report.title": "a\nb"}, "it must be one line"),
    "section of nothing": ({"deep_gpcm": None}, "deep_gpcm is null; it must be of type mapping"),
    "section that is a list": ({"tep_bp": [1]}, "tep_bp is [1]; it must be of type mapping"),
}

SIZES = {
    "replications": ({"engression.reps": 1_000_000}, "jobs, and at most 10,000 can be planned"),
    "units of one job": ({"engression.block": 10**6, "engression.reps": 10**6}, "units in a job"),
    "runs": ({"lora_ablation.runs": 100_000}, "runs of the result arm"),
    "adapters": ({"lora_ablation.sources.generated.adapters": 10**6}, "2,000 shards"),
    "folds": ({"deep_gpcm.folds": 500, "deep_gpcm.block": 1}, "jobs, and at most 1,000"),
    "trials": ({"tep_bp.search.trials": 1_048_576}, "jobs, and at most 10,000"),
    "seeds": ({"tep_bp.repeats.seeds": 10_000, "tep_bp.repeats.top": 300}, "3,000,000 trainings"),
    "rounds": ({"engression.measure.workloads.whole.rounds": 10**9}, "at most 100"),
    "units of rounds": ({"tep_bp.measure.workloads.tep.trials": 10**6}, "units in all rounds"),
}


@pytest.mark.parametrize("wrong", [*NAMES, *WORDS, *SIZES])
def test_what_is_wrong_is_told_in_a_sentence(wrong):
    changes, words = (NAMES | WORDS | SIZES)[wrong]
    assert words in refusal(changes)


@pytest.mark.parametrize("study", STUDIES)
def test_a_section_is_checked_although_its_study_is_off(study):
    others = [name for name in STUDIES if name != study]
    assert refusal({"studies": others, f"{study}.serch": 1}).startswith(f"Config: {study}.serch")
    assert refusal({"studies": others, study: None}).startswith(f"Config: {study} is null")


@pytest.mark.parametrize(
    "overlay", [None, "quick", "paper", "cluster", "mnist", "adapters_10k", "flat_vec"]
)
def test_the_configurations_that_ship_are_planned(overlay):
    from snakemake.utils import update_config

    config = shipped()
    if overlay:
        update_config(config, yaml.safe_load((ROOT / f"config/{overlay}.yaml").read_text()))
    found = read(config)
    assert {name for name, study in found["STUDY"].items() if study.runs} == set(config["studies"])


def test_the_reference_may_be_off():
    read(changed({"engression.arms.reference.run": {"reps": 0}}))


@pytest.mark.parametrize(
    "folder",
    [
        *(
            "-x",
            "/",
            ".",
            "..",
            "a/../b",
            "scripts",
            "./scripts",
            "workflow/x",
            "config",
            "tests/x",
        ),
        *("results/", "./out", "out//x", "results/records", ".git", ".snakemake/x", "/etc/x"),
        *("/proc/x", "/usr/x", "/tmp"),
        *("README.md", "README.md/x", "results/README.md", str(ROOT), str(ROOT / "scripts")),
    ],
)
def test_a_folder_that_is_not_for_results_is_refused_in_a_sentence(folder):
    with pytest.raises(ConfigError, match=r"^Config: pathvars.results is '[^\n]*\.$"):
        check_results(folder)


@pytest.mark.parametrize(
    "folder", ["results", "results/mine", "out", "/tmp/x/results", str(ROOT / "out"), "recordings"]
)
def test_results_may_be_in_and_outside_the_project(folder):
    check_results(folder)


CONFIGS = sorted((ROOT / "config").glob("*.yaml"))
FILES = {
    "key twice": ("a: 1\nb: {c: 1,\n  c: 2}\n", "line 3: 'c' stands already in line 2"),
    "section twice": ("a: 1\nb: 2\na: 3\n", "line 3: 'a' stands already in line 1"),
    "no YAML": ("a: [1\nb: 2\n", "line 2: "),
    "tabs": ("a:\n\tb: 1\n", "line 2: "),
    "own content": ("a: &a [1, *a]\n", "line 1: what * names contains itself"),
    "own content in a mapping": ("a: &a {b: *a}\n", "contains itself"),
    "octal number": ("reps: 017\n", "line 1: 017 is another number to YAML"),
    "number of base 60": ("reps: 12:30\n", "12:30 is another number to YAML"),
    "object of Python": ("a: !!python/name:os.system\n", "no tag of a plain value"),
    "key that is a list": ("? [a, b]\n: 1\n", "a key must be text"),
}


@pytest.mark.parametrize("fault", FILES)
def test_a_fault_of_a_file_is_told_with_its_line(fault, tmp_path):
    text, words = FILES[fault]
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as error:
        check_file(path)
    sentence = str(error.value)
    assert sentence.startswith(f"Config: {path}, line ")
    assert words in sentence
    assert "\n" not in sentence


def test_a_file_of_another_encoding_is_told(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_bytes("title: Pr\xfcfung\n".encode("latin-1"))
    with pytest.raises(ConfigError, match=r"mine.yaml is not UTF-8; save it in that encoding\.$"):
        check_file(path)


def test_aliases_that_unfold_without_end_are_counted_and_not_unfolded(tmp_path):
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 40)]
    path = tmp_path / "mine.yaml"
    path.write_text("\n".join(lines))
    with pytest.raises(ConfigError, match="unfolds to more than 100,000 values"):
        check_file(path)


@pytest.mark.parametrize(
    "path", sorted((ROOT / "config").glob("*.yaml")), ids=lambda path: path.name
)
def test_the_files_that_ship_say_everything_once(path):
    check_file(path)


def test_a_key_that_stands_twice_stops_the_workflow(fresh):
    (fresh.folder / "twice.yaml").write_text("engression:\n  reps: 2\n  reps: 3\n")
    done = fresh.snakemake("--dry-run", config="twice.yaml")
    assert done.returncode != 0
    assert "twice.yaml, line 3: 'reps' stands already in line 2" in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
