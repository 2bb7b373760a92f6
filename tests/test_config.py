"""A mistake in the configuration is one clear sentence before the first job."""

import pytest

MISTAKES = {
    "misspelt key": ({"repz": "3"}, "engression.repz", "did you mean 'reps'?"),
    "wrong type": ({"reps": "ten"}, "engression.reps is 'ten'", "type integer"),
    "size 0": ({"sizes": "[16, 0]"}, "engression.sizes[1] is 0", "at least 2"),
    "unknown law": ({"laws": "[normal, cauchy]"}, "laws[1] is 'cauchy'", "Use one of: normal"),
    "negative replications": ({"reps": "-1"}, "engression.reps is -1", "at least 1"),
    "arm that does not exist": ({"run": "{exat: {}}"}, "'exat'", "did you mean 'exact'?"),
    "nothing to run": ({"laws": "[]"}, "engression.laws is []", "at least 1"),
    "unknown trainer": (
        {"arms": "{exact: {trainer: exactly}}"},
        "arms.exact.trainer is 'exactly'",
        "Use one of: reference",
    ),
    "odd antithetic draws": (
        {"arms": "{antithetic: {train: {draws_per_point: 3}}}"},
        "draws_per_point is 3",
        "must be even",
    ),
    "size outside the design": (
        {"run": "{exact: {sizes: [100]}}"},
        "engression.run.exact.sizes has 100",
        "not in sizes",
    ),
    "narrow noise": (
        {"net": "{noise_dim: 2, hidden: 4, hidden_layers: 2}"},
        "net.noise_dim >= net.hidden",
        "use the trainer 'pooled'",
    ),
    "unknown contestant": (
        {"measure": "{workloads: {memory: {contestants: [referense]}}}"},
        "'referense'",
        "did you mean 'reference'?",
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
