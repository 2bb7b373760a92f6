"""A mistake in the search's configuration is one clear sentence before the first job."""

import pytest
import yaml

from scripts.lib.code import ROOT
from scripts.lib.config import read_settings
from scripts.lib.contract import check_contract
from scripts.tep_bp.jobs import study, tables_job
from scripts.tep_bp.settings import Section
from tests.mistakes import assert_refused
from tests.tep_searches import merged

STUDY = "tep_bp"
CONFIG = yaml.safe_load((ROOT / "config/tep_bp.yaml").read_text())[STUDY]
ARM = {"about": "An arm.", "role": "implementation"}
FAULTS = CONFIG["arms"]["legacy"]["faults"]


def checked(section: dict) -> None:
    """As the workflow checks a section before the first job."""
    check_contract(study(read_settings(Section, section, STUDY), 42, True))


# Through Snakemake: sections as YAML text, and what the sentence says.
MISTAKES = {
    "misspelt key": ({"searching": "{trials: 4}"}, "tep_bp.searching", "did you mean 'search'?"),
    "unknown task": ({"task": "digit"}, "tep_bp.task is 'digit'", "did you mean 'digits'?"),
}

# Through the checks: keys to change, each by its place, and what the sentence says.
CHANGES = {
    "NaN bound": ({"space.lr": [float("nan"), 0.1]}, "space.lr[0] is nan", "finite"),
    "endless bound": ({"space.beta": [0.1, float("inf")]}, "space.beta[1] is inf", "finite"),
    "bounds upside down": (
        {"space.lr": [0.1, 0.01]},
        "space.lr is [0.1, 0.01]",
        "numbers that rise",
    ),
    "bound of zero": ({"space.beta": [0, 1.0]}, "space.beta[0] is 0", "greater than 0"),
    "impossible width": ({"space.hidden": [8, 12]}, "hidden[1] is 12", "multiple of 8"),
    "no width": ({"space.hidden": []}, "space.hidden is []", "at least 1"),
    "half a batch": ({"space.batch": [32.5]}, "space.batch[0] is 32.5", "type integer"),
    "unknown activation": (
        {"space.activation": ["gelu"]},
        "space.activation[0] is 'gelu'",
        "Use one of: tanh, relu",
    ),
    "misspelt hyperparameter": ({"space.width": [8]}, "space.width", "Use one of: hidden"),
    "unknown kind of task": (
        {"tasks.mine": {"kind": "mnst"}},
        "tasks.mine.kind is 'mnst'",
        "did you mean 'mnist'?",
    ),
    "key of another kind of task": (
        {"tasks.digits.path": "digits.npz"},
        "tasks.digits.path is no key",
        "Use one of: kind",
    ),
    "unknown key of a task": (
        {"tasks.parity.bit": 4},
        "tasks.parity.bit is no key",
        "did you mean 'bits'?",
    ),
    "npz without a path": ({"tasks.mine": {"kind": "npz"}}, "tasks.mine.path is missing", "npz"),
    "parity of nothing": ({"tasks.mine": {"kind": "parity"}}, "mine.bits is missing", "parity"),
    "name of a task with a space": (
        {"tasks.my own": {"kind": "digits"}},
        "my own",
        "letters, digits and _",
    ),
    "rounds that are cut": (
        {"search.mode": "rounds", "search.trials": 310},
        "search.trials is 310",
        "multiple of search.block, 150",
    ),
    "unknown sampler": ({"search.sampler": "halton"}, "sampler is 'halton'", "sobol, random"),
    "too many trials": ({"search.trials": 2**20 + 1}, "trials is 1048577", "at most 1048576"),
    "no trials": ({"search.trials": 0}, "search.trials is 0", "at least 1"),
    "unknown mode": ({"search.mode": "halved"}, "search.mode is 'halved'", "mean 'halving'?"),
    "unknown rule": ({"search.rules": ["tep", "bptt"]}, "search.rules[1] is 'bptt'", "Use one of"),
    "a rule twice": ({"search.rules": ["bp", "bp"]}, "search.rules", "must not repeat"),
    "promotion of all": ({"search.halving.eta": 1}, "halving.eta is 1", "at least 2"),
    "wrong type": ({"train.epochs": "many"}, "train.epochs is 'many'", "type integer"),
    "cap that does not contract": (
        {"train.spectral_cap": 1.0},
        "train.spectral_cap is 1.0",
        "less than 1",
    ),
    "misspelt option": (
        {"arms.one_sided.train.diference": "centred"},
        "arms.one_sided.train.diference",
        "did you mean 'difference'?",
    ),
    "unstable solver": ({"solvers.economy.omega": 2}, "solvers.economy.omega is 2", "less than 2"),
    "unknown solver": ({"arms.stacked.solver": "fast"}, "stacked.solver is 'fast'", "plain, econ"),
    "no solver": (
        {"arms.mine": ARM | {"implementation": "stacked"}},
        "tep_bp.arms.mine",
        "others the reverse",
    ),
    "implementation of another name": (
        {"arms.stacked.implementation": "stack"},
        "arms.stacked.implementation is 'stack'",
        "did you mean 'stacked'?",
    ),
    "trainer": ({"arms.stacked.trainer": "stacked"}, "stacked.trainer", "stacked.implementation"),
    "faults and solver": (
        {"arms.mine": ARM | {"implementation": "legacy", "solver": "plain", "faults": FAULTS}},
        "tep_bp.arms.mine",
        "faults and no solver",
    ),
    "faults of a trainer that has none": (
        {"arms.stacked.faults": FAULTS},
        "tep_bp.arms.stacked",
        "takes faults and no solver, others the reverse",
    ),
    "one-sided stack": (
        {"arms.stacked.train": {"difference": "one_sided"}},
        "arms.stacked.train.difference is one_sided",
        "stacked has only centred",
    ),
    "one side for all": (
        {"train.difference": "one_sided"},
        "train.difference is one_sided",
        "has only centred",
    ),
    "proposal to a stack": (
        {"arms.stacked.train": {"proposal": "bfloat16"}},
        "arms.stacked.train.proposal is bfloat16",
        "stacked has only none, reference has all",
    ),
    "processes that nobody started are kept": (
        {"arms.loader_persistent.train.workers": 0},
        "arms.loader_persistent keeps the processes of its DataLoader and has none",
        "set train.workers, or train.persistent to false",
    ),
    "processes that nobody started are kept by all": (
        {"train.persistent": True},
        "arms.reference keeps the processes of its DataLoader and has none",
        "set train.workers",
    ),
    "processes of a trainer that has none": (
        {"arms.stacked.train": {"workers": 2}},
        "arms.stacked.train.workers has no effect with the implementation stacked",
        "take it out",
    ),
    "unknown proposal": (
        {"arms.compiled.train.proposal": "compield"},
        "arms.compiled.train.proposal is 'compield'",
        "did you mean 'compiled'?",
    ),
    "proposal for a rule without it": (
        {"arms.warm_start.run": {"rules": ["tep", "bp"], "trials": 2}},
        "arms.warm_start.run.rules must be [tep]",
        "warm_start is proposed for its free phase",
    ),
    "heavy ball that stops": (
        {"solvers.adaptive.mu": 0.2},
        "solvers.adaptive has a tol",
        "needs omega 1 and mu 0",
    ),
    "proposal to the original's block": (
        {"arms.legacy.train": {"proposal": "compiled"}},
        "arms.legacy.train.proposal is compiled",
        "legacy has only none",
    ),
    "stack that cannot stop": (
        {"arms.stacked.solver": "adaptive"},
        "arms.stacked.solver is adaptive, which has a tol",
        "only the implementation reference stops",
    ),
    "old section": ({"run": {"stacked": {"trials": 1}}}, "tep_bp.run", "tep_bp.arms.<name>.run"),
    "keys of the result arm": (
        {"arms.gated.run": {"trials": 3}},
        "arms.gated.run takes no keys",
        "the search",
    ),
    "arm without trials": ({"arms.stacked.run": {}}, "arms.stacked.run needs the key trials", "."),
    "sample beyond the first block": (
        {"arms.fused.run.trials": 151},
        "arms.fused.run.trials is 151",
        "first block of the search has 150",
    ),
    "sample of few trials": (
        {"search.trials": 20},
        "arms.fused.run.trials is 32",
        "first block of the search has 20",
    ),
    "rule that is not searched": (
        {"search.rules": ["tep", "bp"], "arms.fused.run.rules": ["rbp"]},
        "arms.fused.run.rules is 'rbp'",
        "Use one of: tep, bp",
    ),
    "gate of an arm that is off": (
        {"arms.economy.run.trials": 0},
        "gate.economy is economy, which trains no trial of tep",
        "give it some",
    ),
    "gate without tep": (
        {"arms.fused.run.rules": ["bp"]},
        "gate.exact is fused, which trains no trial of tep",
        "tep_bp.arms.fused.run",
    ),
    "half a pair of the gate": (
        {"gate.again": ["fused_again"]},
        "gate.again is ['fused_again']",
        "name two arms",
    ),
    "gate again of an arm that is off": (
        {"arms.economy_again.run": {"trials": 0}},
        "gate.again[1] is economy_again, which trains no trial of tep",
        "give it some",
    ),
    "mistake of another implementation": (
        {"arms.fused.mistake": "lost_sign"},
        "tep_bp.arms.fused: the implementation wrong",
        "has a mistake",
    ),
    "float64 of another implementation": (
        {"arms.fused.train": {"precision": "double"}},
        "arms.fused.train.precision is double",
        "fused has only single",
    ),
    "gate of an unknown arm": ({"gate.exact": "plain"}, "gate.exact is 'plain'", "Use one of"),
    "measurement of an unknown task": (
        {"measure.workloads.tep.task": "digit"},
        "workloads.tep.task is 'digit'",
        "did you mean 'digits'?",
    ),
    "unknown contestant": (
        {"measure.workloads.bp.contestants": ["stackd"]},
        "workloads.bp.contestants is 'stackd'",
        "did you mean 'stacked'?",
    ),
    "result by name": ({"report.arm": "gated"}, "report.arm", "tep_bp.arms.<name>.role"),
    "two results": ({"arms.fused.role": "result"}, "the role result: gated, fused", "to one"),
    "agreement by no axis": ({"agreement.strata": "fold"}, "agreement.strata is 'fold'", "rule"),
    "band of an unknown task": ({"band.task": "digit"}, "band.task is 'digit'", "'digits'?"),
    "an unknown scale": (
        {"tasks.mine": {"kind": "npz", "path": "a.npz", "scale": "256"}},
        "tasks.mine.scale is '256'",
        "Use one of: none, standard",
    ),
    "band of an unknown quantity": ({"band.worst": [0, 1]}, "band.worst", "Use one of: best"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_the_search_is_one_sentence_before_any_job(fresh_tep, mistake):
    sections, place, remedy = MISTAKES[mistake]
    sentence = fresh_tep.refusal(**sections)
    assert place in sentence
    assert remedy in sentence


@pytest.mark.parametrize("overlay", [None, "quick", "paper", "mnist"])
def test_the_configurations_that_ship_are_faultless(overlay):
    more = yaml.safe_load((ROOT / f"config/{overlay}.yaml").read_text()) if overlay else {}
    checked(merged(CONFIG, more.get(STUDY, {})))


@pytest.mark.parametrize("mistake", CHANGES)
def test_a_change_for_the_worse_is_one_sentence(mistake):
    changes, place, remedy = CHANGES[mistake]
    assert_refused(CONFIG, changes, checked, place, remedy)


def test_what_the_original_proposes_is_no_arm_of_its_block():
    arms = {"compiled": {"run": {"trials": 2}}}
    section = read_settings(Section, merged(CONFIG, {"arms": arms}), STUDY)
    assert section.arms["compiled"].role == section.arms["legacy"].role == "original"
    assert tables_job(section, 42).original == ["legacy", "legacy_repaired"]


def test_an_arm_that_is_off_may_name_a_rule_that_is_not_searched():
    off = {
        name: {"run": {"trials": 0}}
        for name, arm in CONFIG["arms"].items()
        if "bp" in arm.get("run", {}).get("rules", [])
    }
    rules, workloads = {"rules": ["tep", "rbp"]}, {"bp": {"rounds": 0}}
    checked(merged(CONFIG, {"search": rules, "arms": off, "measure": {"workloads": workloads}}))


def test_a_missing_file_of_the_task_is_one_sentence_before_any_job(fresh_tep):
    tasks = "{mine: {kind: mnist, path: nowhere/mnist.npz}}"
    done = fresh_tep.snakemake(config=fresh_tep.overlay(task="mine", tasks=tasks))
    output = done.stdout + done.stderr
    assert done.returncode != 0
    assert "nowhere/mnist.npz: cannot be read (No such file or directory)." in output
    assert "Traceback" not in output
    assert not (fresh_tep.folder / "results").exists()


def test_what_is_expected_of_the_digits_is_expected_of_no_other_task():
    section = read_settings(Section, CONFIG, STUDY)
    assert tables_job(section, 42).band.best == CONFIG["band"]["best"]
    other = read_settings(Section, CONFIG | {"task": "xor"}, STUDY)
    assert set(tables_job(other, 42).band.model_dump().values()) == {None}
