"""A mistake in the configuration is one clear sentence before the first job."""

import pytest

pytestmark = pytest.mark.spread

MISTAKES = {
    "misspelt key": ({"repz": "3"}, "engression.repz", "did you mean 'reps'?"),
    "old key": ({"sizes": "[16]"}, "engression.sizes", "another name now: engression.axes.n"),
    "old section": ({"run": "{}"}, "engression.run", "another name now: engression.arms.<name>"),
    "wrong type": ({"reps": "ten"}, "engression.reps is 'ten'", "type integer"),
    "size 0": ({"axes": "{n: [16, 0]}"}, "engression.axes.n[1] is 0", "at least 2"),
    "unknown law": (
        {"axes": "{law: [normal, cauchy]}"},
        "axes.law[1] is 'cauchy'",
        "Use one of: normal",
    ),
    "negative replications": ({"reps": "-1"}, "engression.reps is -1", "at least 1"),
    "nothing to run": ({"axes": "{law: []}"}, "engression.axes.law is []", "at least 1"),
    "unknown implementation": (
        {"arms": "{exact: {implementation: exactly}}"},
        "arms.exact.implementation is 'exactly'",
        "did you mean 'exact'?",
    ),
    "arm without a description": (
        {"arms": "{mine: {role: implementation, implementation: exact}}"},
        "arms.mine.about",
        "is missing",
    ),
    "two references": (
        {"arms": "{exact: {role: reference}}"},
        "the role reference: reference, exact",
        "give it to one",
    ),
    "odd antithetic draws": (
        {"arms": "{antithetic: {options: {draws_per_point: 3}}}"},
        "draws_per_point is 3",
        "must be even",
    ),
    "size outside the design": (
        {"arms": "{exact: {run: {n: [100]}}}"},
        "engression.arms.exact.run.n has 100",
        "not in engression.axes.n",
    ),
    "narrow noise": (
        {"net": "{noise_dim: 2, hidden: 4, hidden_layers: 2}"},
        "net.noise_dim >= net.hidden",
        "use the implementation 'pooled'",
    ),
    "unknown contestant": (
        {"measure": "{workloads: {memory: {contestants: [referense]}}}"},
        "'referense'",
        "did you mean 'reference'?",
    ),
    "setting that a workload cannot change": (
        {"measure": "{workloads: {memory: {settings: {train: {epochs: 1}}}}}"},
        "engression.measure.workloads.memory.settings.train.epochs",
        "is no key",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_sentence_before_any_job(fresh, mistake):
    sections, place, remedy = MISTAKES[mistake]
    sentence = fresh.refusal(**sections)
    assert place in sentence
    assert remedy in sentence


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("sed: 3", "'sed' is no section (did you mean 'seed'?)"),
        ("seed: -1", "seed is -1; it must be at least 0."),
        ("studies: [engresion]", "studies is 'engresion' (did you mean 'engression'?)."),
        ("pathvars: {result: out}", "pathvars.result is no key of this workflow"),
    ],
)
def test_a_mistake_at_the_root_is_one_sentence_too(fresh, line, sentence):
    (fresh.folder / "root.yaml").write_text(line + "\n")
    done = fresh.snakemake(config="root.yaml")
    assert done.returncode != 0
    assert sentence in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
