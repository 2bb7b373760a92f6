"""Laws of the user's own: files that draw and samples, right or refused in one sentence."""

from copy import deepcopy

import numpy as np
import pytest

from scripts.engression.metrics import against_truth, energy_distance, in_sample
from scripts.engression.own_laws import OwnLaw, check_own, data_of, exact_energy, parts, truth_of
from scripts.engression.settings import Evaluation
from scripts.lib.config import read_settings
from scripts.lib.faults import ConfigError, LoadError
from scripts.lib.own_study import Unit
from scripts.lib.seeds import numpy_rng
from scripts.lib.spec import canonical
from scripts.spine.jobs import Jobs
from scripts.spine.section import two_stage_section
from scripts.spine.two_stage import two_stage
from tests.rule_files import shipped

EXPONENTIAL = """
import numpy as np

def draw(rng, size):
    return rng.exponential(1, size)

gini = 1.0

def distance(y):
    return np.where(y < 0, 1 - y, y - 1 + 2 * np.exp(-np.maximum(y, 0)))
"""


def drawing(value: str) -> str:
    """A law's file whose draw returns this."""
    return f"import time\nimport numpy as np\n\ndef draw(rng, size):\n    return {value}\n"


NORMAL = drawing("rng.normal(size=size)")
BAD = {
    "no draw": ("x = 1", "has no function draw"),
    "draw is a number": ("draw = 3", "has no function draw"),
    "no Python": ("def draw(rng, size) return 1", "cannot be run"),
    "raises at the start": ("1 / 0", "cannot be run (division by zero)"),
    "leaves": ("raise SystemExit", "it calls exit"),
    "raises in draw": (drawing("rng.nosuch(size)"), "draw(rng, 50) fails"),
    "too few arguments": ("def draw(rng):\n    return 1", "draw(rng, 50) fails"),
    "wrong size": (drawing("rng.normal(size=size + 1)"), "the shape (51,)"),
    "turned": (drawing("rng.normal(size=(2, size))"), "the shape (2, 50)"),
    "three dimensions": (drawing("rng.normal(size=(size, 2, 2))"), "(50, 2, 2)"),
    "one number": (drawing("rng.normal()"), "gives float; expected"),
    "a list": (drawing("list(rng.normal(size=size))"), "gives list"),
    "text": (drawing("np.array(['a'] * size)"), "an array of <U1"),
    "flags": (drawing("rng.random(size) > 0.5"), "an array of bool"),
    "complex": (drawing("rng.normal(size=size) * 1j"), "complex128"),
    "no dimension": (drawing("rng.normal(size=(size, 0))"), "(50, 0)"),
    "NaN": (drawing("np.log(rng.normal(size=size))"), "NaN or infinite"),
    "infinite": (drawing("1 / (rng.random(size) > 0.5)"), "NaN or infinite"),
    "the global generator": (
        drawing("np.random.normal(size=size)"), "other numbers for the same rng"
    ),
    "a generator of its own": (
        drawing("np.random.default_rng().normal(size=size)"), "other numbers for the same rng"
    ),
    "the clock": (
        drawing("rng.normal(size=size) + time.perf_counter()"), "other numbers for the same rng"
    ),
    "a seed of its own": (
        drawing("np.random.default_rng(1).normal(size=size)"), "the same numbers for another rng"
    ),
    "constant": (drawing("np.ones(size)"), "the same numbers for another rng"),
    "a constant coordinate": (
        drawing("np.stack([rng.normal(size=size), np.ones(size)], 1)"), "a coordinate is constant"
    ),
    "another dimension for another size": (
        drawing("rng.normal(size=(size, 2 if size > 9 else 3))"),
        "another dimension for another size",
    ),
    "gini alone": ("gini = 1.0\n" + NORMAL, "one of distance and gini"),
    "distance alone": ("distance = abs\n" + NORMAL, "one of distance and gini"),
    "gini of zero": (EXPONENTIAL.replace("gini = 1.0", "gini = 0"), "gini is 0"),
    "a wrong gini": (EXPONENTIAL.replace("gini = 1.0", "gini = 1.2"), "gini is 1.2, but of"),
    "a wrong distance": (EXPONENTIAL.replace("y - 1", "y - 1.2"), "but of 20000 draws E|X - "),
    "distances of another shape": (
        EXPONENTIAL.replace("return np.where", "return y.sum() or np.where"),
        "a finite number for each y",
    ),
    "distances in two dimensions": (
        EXPONENTIAL.replace("(1, size)", "(1, (size, 2))"), "for laws of one dimension"
    ),
}  # fmt: skip


def law(folder, source=EXPONENTIAL, name="mine.py", **keys) -> OwnLaw:
    path = folder / name
    path.write_text(source)
    return OwnLaw(file=str(path), **keys)


def unit_of(own: OwnLaw, n: int = 60, rep: int = 0, name: str = "mine") -> Unit:
    unit = Unit("engression", 42, {"law": name, "n": n, "rep": rep}, None)
    unit.data.update(data_of(own, unit))
    return unit


@pytest.mark.parametrize("name", BAD)
def test_a_file_that_cannot_be_drawn_from_is_refused_in_one_sentence_that_names_it(tmp_path, name):
    source, sentence = BAD[name]
    with np.errstate(all="ignore"), pytest.raises(LoadError) as refused:
        check_own(law(tmp_path, source), [60], "engression.own.mine")
    assert sentence in str(refused.value)
    assert "mine.py" in str(refused.value)


@pytest.mark.parametrize(
    "draw",
    [
        "rng.normal(5, 3, size)",
        "rng.integers(0, 5, size)",
        "rng.normal(size=(size, 1))",
        "rng.normal(size=(size, 3)).astype('float32')",
        "rng.standard_cauchy(size)",
    ],
)
def test_a_law_of_any_real_numbers_is_taken(tmp_path, draw):
    own = law(tmp_path, f"print('hello')\ndef draw(rng, size):\n    return {draw}")
    check_own(own, [60], "engression.own.mine")
    assert unit_of(own).data["x"].shape in ((60,), (60, 3))


def test_a_law_is_standardised_by_itself_and_left_alone_on_request(tmp_path):
    source = "def draw(rng, size):\n    return rng.normal(400, 80, size)"
    scaled = unit_of(law(tmp_path, source), n=2000).data["x"]
    assert abs(scaled.mean()) < 0.1
    assert abs(scaled.std() - 1) < 0.1
    plain = unit_of(law(tmp_path, source, scale="none"), n=2000).data["x"]
    assert np.corrcoef(plain, scaled)[0, 1] > 0.999999
    assert abs(plain.mean() - 400) < 10


def test_the_log_says_how_a_law_was_read(tmp_path, caplog):
    caplog.set_level("INFO")
    unit_of(law(tmp_path))
    unit_of(sample(tmp_path, scale="none"))
    assert "mine.py: scored by its exact distances; less [" in caplog.text
    assert "300 rows may train, 100 are held out; as it is" in caplog.text


def test_all_units_of_a_law_have_one_scale(tmp_path):
    own = law(tmp_path)
    first, second = unit_of(own), unit_of(own, n=90, rep=4)
    assert first.data["mean"] == second.data["mean"]
    assert first.data["sd"] == second.data["sd"]
    assert not np.array_equal(first.data["x"], second.data["x"][:60])


def test_the_truth_of_a_law_is_other_draws_in_the_same_units(tmp_path):
    unit = unit_of(law(tmp_path))
    truth = truth_of(unit, 20_000)
    assert abs(truth.mean()) < 0.05
    assert abs(truth.std() - 1) < 0.05
    assert not set(truth.astype("float32")) & set(unit.data["x"])


def test_exact_distances_give_the_energy_distance_without_the_error_of_true_draws(tmp_path):
    unit = unit_of(law(tmp_path))
    y = unit.rng("generated").normal(0.3, 1.2, 20_000)
    (mean,), (sd,) = unit.data["mean"], unit.data["sd"]
    truths = [(numpy_rng(i, "t").exponential(1, 20_000) - mean) / sd for i in range(20)]
    sampled = [against_truth(truth, y)["excess_loss"] for truth in truths]
    exact = against_truth(truth_of(unit, 20_000), y, exact_energy(unit, y))["excess_loss"]
    error = np.std(sampled, ddof=1)
    assert abs(np.mean(sampled) - exact) < 5 * error / np.sqrt(20)
    assert error > 0


def test_a_law_without_distances_has_no_exact_energy(tmp_path):
    source = "def draw(rng, size):\n    return rng.normal(size=size)"
    assert exact_energy(unit_of(law(tmp_path, source)), np.zeros(5)) is None


def test_the_text_of_the_file_is_among_the_data_so_that_an_edit_is_another_unit(tmp_path):
    before = unit_of(law(tmp_path)).data
    after = unit_of(law(tmp_path, EXPONENTIAL + "# 2")).data
    assert not np.array_equal(before["code"], after["code"])
    assert np.array_equal(before["x"], after["x"])


def sample(folder, rows=400, width=1, **keys) -> OwnLaw:
    path = folder / "sample.npy"
    np.save(path, numpy_rng(0, "sample").normal(100, 5, (rows, width)))
    return OwnLaw(file=str(path), **keys)


def test_rows_that_are_held_out_train_no_unit(tmp_path):
    own = sample(tmp_path)
    held_out = set(unit_of(own).data["held_out"].astype("float32"))
    assert len(held_out) == 100
    for rep in range(5):
        x = unit_of(own, n=300, rep=rep).data["x"]
        assert len(set(x)) == 300  # without replacement
        assert not held_out & set(x)


def test_the_scores_of_a_sample_are_about_the_rows_held_out(tmp_path):
    unit = unit_of(sample(tmp_path))
    assert np.array_equal(truth_of(unit, 20_000), unit.data["held_out"])
    assert abs(unit.data["held_out"].mean()) < 0.5


def test_columns_of_a_sample_are_chosen_by_name(tmp_path):
    own = sample(tmp_path, width=3)
    assert unit_of(own).data["x"].shape == (60, 3)
    one = OwnLaw(file=own.file, columns=["1"])
    assert unit_of(one).data["x"].shape == (60,)
    assert np.array_equal(parts(one, 42, "mine")[0], parts(own, 42, "mine")[0][:, 1])


@pytest.mark.parametrize(
    ("keys", "sizes", "sentence"),
    [
        ({}, [100, 301], "n = 301, but"),
        ({"held_out": 0.05}, [50], "20 rows would be held out"),
        ({"columns": ["7"]}, [50], "has no column '7'"),
    ],
)
def test_a_sample_that_is_too_small_or_lacks_a_column_is_refused(tmp_path, keys, sizes, sentence):
    with pytest.raises((ConfigError, LoadError)) as refused:
        check_own(sample(tmp_path, **keys), sizes, "engression.own.mine")
    assert sentence in str(refused.value)


def test_keys_of_a_sample_are_refused_beside_a_file_that_draws(tmp_path):
    with pytest.raises(ConfigError, match=r"own\.mine\.held_out has no effect"):
        check_own(law(tmp_path, held_out=0.5), [60], "engression.own.mine")


def test_the_energy_distance_in_space_is_that_of_its_definition_and_of_one_dimension():
    rng = numpy_rng(0, "space")
    a, b = rng.normal(size=(30, 2)), rng.exponential(size=(20, 2))
    between = np.mean([np.linalg.norm(x - y) for x in a for y in b])
    within = 0
    for c in (a, b):
        pairs = [(x, y) for i, x in enumerate(c) for j, y in enumerate(c) if i != j]
        within += np.mean([np.linalg.norm(x - y) for x, y in pairs])
    assert energy_distance(a, b) == pytest.approx(2 * between - within, rel=1e-12)
    x, y = np.sort(a[:, 0]), np.sort(b[:, 0])
    flat = energy_distance(x, y)
    assert energy_distance(x[:, None], y[:, None]) == pytest.approx(flat, rel=1e-12)


def test_metrics_of_two_equal_coordinates_follow_from_those_of_one():
    rng, options = numpy_rng(0, "one"), Evaluation(mmd_gamma=1.0, ks_alpha=0.05, test_draws=100)
    x, y = rng.normal(size=80), rng.normal(0.5, 2, 80)
    flat = in_sample(x, y, options) | against_truth(x, y)
    both = in_sample(np.stack([x, x], 1), np.stack([y, y], 1), options)
    assert both["mean_distance"] == pytest.approx(np.sqrt(2) * flat["mean_distance"])
    assert both["cov_trace"] == pytest.approx(2 * flat["cov_trace"])
    assert both["cov_frobenius"] == pytest.approx(2 * flat["cov_frobenius"])
    assert against_truth(np.stack([x, x], 1), np.stack([y, y], 1))["w1_test"] == pytest.approx(
        flat["w1_test"]
    )
    assert "ks" not in both


def jobs(**own) -> Jobs:
    """The jobs of the shipped study with own laws only."""
    study, config = two_stage("engression"), deepcopy(shipped()["engression"])
    config |= {"own": own, "axes": {"law": list(own), "n": [100, 500]}}
    section = read_settings(two_stage_section(study), config, "engression")
    study.module.check(section)
    return Jobs(study, section, 42)


def test_an_edited_file_is_another_load_and_the_same_training(tmp_path):
    law(tmp_path)
    mine = {"file": str(tmp_path / "mine.py")}
    before = jobs(mine=mine)
    loaded, trained = before.load("reps-000-003"), before.train("antithetic", "reps-000-003")
    law(tmp_path, EXPONENTIAL + "# edited")
    after = jobs(mine=mine)
    assert canonical(after.load("reps-000-003")) != canonical(loaded)
    assert canonical(after.train("antithetic", "reps-000-003")) == canonical(trained)


def test_another_key_of_a_law_is_another_load_and_the_same_training(tmp_path):
    law(tmp_path)
    path = str(tmp_path / "mine.py")
    before, after = (jobs(mine={"file": path} | more) for more in ({}, {"scale": "none"}))
    for block in ("reps-000-003", "measured"):
        assert canonical(after.load(block)) != canonical(before.load(block))
    of_training = [j.train("antithetic", "reps-000-003") for j in (before, after)]
    assert canonical(of_training[0]) == canonical(of_training[1])


@pytest.mark.parametrize(
    ("name", "sentence"),
    [("normal", "own.normal has the name of a law of ours"), ("other", "own.other is not in")],
)
def test_a_law_needs_a_name_of_its_own_that_is_used(tmp_path, name, sentence):
    own = {name: {"file": law(tmp_path).file}}
    config = deepcopy(shipped()["engression"]) | {"own": own}
    section = read_settings(two_stage_section(two_stage("engression")), config, "engression")
    with pytest.raises(ConfigError) as refused:
        two_stage("engression").module.check(section)
    assert sentence in str(refused.value)


def test_an_unknown_law_of_a_workload_is_told_with_what_there_is():
    config = deepcopy(shipped()["engression"])
    config["measure"]["workloads"]["whole"]["law"] = ["normall"]
    section = read_settings(two_stage_section(two_stage("engression")), config, "engression")
    with pytest.raises(
        ConfigError, match=r"whole\.law\[0\] is 'normall' \(did you mean 'normal'\?\)"
    ):
        two_stage("engression").module.check(section)
