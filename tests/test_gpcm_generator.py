"""The built-in generator draws what the original draws, bit by bit."""

import numpy as np
import pytest

from scripts.deep_gpcm.data.generator import drawn, probabilities
from scripts.lib.faults import LoadError
from tests.gpcm_files import TINY, A, B, C, D, read, same_answers, save_three_lines


def literal(source: dict, seed: int) -> tuple:
    """One draw after the other from the global generator."""
    students, questions, categories = (source[k] for k in ("students", "questions", "categories"))
    before = np.random.get_state()  # noqa: NPY002
    np.random.seed(seed)  # noqa: NPY002
    draw = np.random
    theta = draw.normal(0, 1, students)
    alpha = draw.lognormal(0, 0.3, questions)
    beta = np.empty((questions, categories - 1))
    for j in range(questions):
        base = draw.normal(0, 1)
        beta[j] = np.sort(draw.normal(base, 0.5, categories - 1))
    rows = []
    for i in range(students):
        asked = draw.choice(questions, draw.randint(*source["lengths"]))
        for t, j in enumerate(asked):
            z = np.append(0, np.cumsum(alpha[j] * (theta[i] - beta[j])))
            p = np.exp(z - z.max())
            rows.append((i, t, j + 1, draw.choice(categories, p=p / p.sum())))
    np.random.set_state(before)  # noqa: NPY002
    return theta, alpha, beta, np.array(rows)


def betas(found) -> np.ndarray:
    return found.items.filter(like="beta_").to_numpy()


@pytest.mark.parametrize("source", [TINY, TINY | {"categories": 2}, C | {"students": 40}])
@pytest.mark.parametrize("seed", [42, 2**32 - 1])
def test_vectorised_draws_equal_the_literal_loop_bit_by_bit(source, seed):
    found = read(source, seed)
    theta, alpha, beta, rows = literal(source, seed)
    assert found.students["theta"].to_numpy().tobytes() == theta.tobytes()
    assert found.items["alpha"].to_numpy().tobytes() == alpha.tobytes()
    assert np.array_equal(betas(found), beta)
    answers = np.stack([found.student, found.t, found.question, found.response], axis=1)
    assert np.array_equal(answers, rows)
    assert not np.array_equal(read(source, seed - 1).response, found.response)


def test_data_sets_of_the_original_have_its_counts_and_class_shares():
    golden = {
        24_056: (A, [0.332, 0.209, 0.204, 0.256]),
        75_478: (B, [0.327, 0.208, 0.200, 0.265]),
        13_563: (C, [0.415, 0.283, 0.302]),
    }
    for answers, (source, shares) in golden.items():
        found = read(source, 42)
        assert len(found.response) == answers
        assert np.bincount(found.response) / answers == pytest.approx(shares, abs=5e-4)


PUBLISHED = {
    # Characters of the train and test files, and the last answers of the test file.
    "a": (A, 94_667, 23_179, "2,1,2,3,2,2,3,3,1,2,2,2,0,0,3,0,1,2,3,2,2,3,2\n"),
    "b": (B, 330_626, 82_528, ",1,0,0,0,0,1,0,0,0,0,0,0,0,0,1,0,0\n"),
    "c": (C, 52_550, 13_500, "0,0,0,0,0,0,2,0,0,0,0,0,1,0,0,0,1,2,0,0\n"),
}


@pytest.mark.parametrize("data", PUBLISHED)
def test_files_of_the_data_sets_are_those_that_the_original_published(data, tmp_path):
    # github.com/alhazar43/deep-gpcm: data/large/synthetic_OC at b596eb7, data/synthetic_500_200_4
    # and data/synthetic_OC at 0787099.
    source, train, test, last = PUBLISHED[data]
    save_three_lines(read(source, 42), tmp_path, base=0)
    lines = (tmp_path / "data.txt").read_text().splitlines(keepends=True)
    first = 3 * (source["students"] * 4 // 5)
    assert len("".join(lines[:first])) == train
    assert len("".join(lines[first:])) == test
    assert lines[-1].endswith(last)


def test_items_of_data_set_d_are_those_that_the_original_published():
    # data/synthetic_OC/true_irt_parameters.json at 11b881c: the last item.
    published = [-0.3198054327258555, 0.3933129770149689, 0.7236814828370711]
    assert betas(read(D, 42))[-1].tolist() == published


def test_data_set_d_has_the_mean_length_of_the_original():
    found = read(D, 42)
    assert len(found.response) / D["students"] == pytest.approx(251.5, abs=0.05)
    assert found.question.max() == 400
    lengths = np.bincount(found.student)
    assert lengths.min() >= 100
    assert lengths.max() < 400


def test_the_upper_length_is_exclusive():
    assert set(np.bincount(read(A | {"lengths": [3, 4]}, 1).student)) == {3}


def test_the_global_generator_is_neither_used_nor_moved():
    np.random.seed(7)  # noqa: NPY002
    expected = np.random.random_sample(3)  # noqa: NPY002
    np.random.seed(7)  # noqa: NPY002
    first = read(TINY, 42)
    assert np.array_equal(np.random.random_sample(3), expected)  # noqa: NPY002
    assert same_answers(first, read(TINY, 42))


def test_more_students_keep_the_first_abilities_and_change_everything_else():
    # A property of the original: all abilities are drawn before the items and the answers.
    few, many = read(A, 42), read(A | {"students": 801}, 42)
    assert np.array_equal(many.students["theta"][:800], few.students["theta"])
    assert (few.items["alpha"] != many.items["alpha"]).all()
    n = int(np.bincount(few.student).min())
    assert not np.array_equal(many.question[:n], few.question[:n])


def test_thresholds_ascend_and_higher_ability_gives_higher_answers():
    found = read(A, 42)
    assert (np.diff(betas(found)) >= 0).all()
    theta = found.students["theta"].to_numpy()[found.student]
    able = theta > 0
    assert found.response[able].mean() > found.response[~able].mean() + 0.5


def test_probabilities_are_those_of_the_partial_credit_model():
    p = probabilities(
        np.array([0.5, 800.0]), np.array([1.2, 2.0]), np.array([[-1.0, 0.3, 2.0]] * 2)
    )
    odds = p[0, 1:] / p[0, :-1]
    assert np.log(odds) == pytest.approx(1.2 * (0.5 - np.array([-1.0, 0.3, 2.0])))
    assert p.sum(axis=1) == pytest.approx(1)
    assert p[1, 3] == 1


def test_a_chance_on_a_boundary_gives_the_upper_category():
    p = np.array([[0.25, 0.25, 0.5]] * 4)
    assert drawn(p, np.array([0.0, 0.25, 0.5, np.nextafter(1, 0)])).tolist() == [0, 1, 2, 2]


@pytest.mark.parametrize("lengths", [[0, 5], [5, 5], [7, 3]])
def test_lengths_that_allow_no_sequence_are_refused(lengths):
    with pytest.raises(LoadError, match=f"from {lengths[0]} to below {lengths[1]}"):
        read(TINY | {"lengths": lengths}, 42)


def test_a_seed_too_large_for_the_original_is_refused():
    with pytest.raises(LoadError, match="takes 0 to 4294967295"):
        read(TINY, 2**32)
