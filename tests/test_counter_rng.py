"""Counter-based draws: the published words, one address each, the same in NumPy and in PyTorch."""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy import stats

from scripts.lib import counter_rng
from scripts.lib.counter_rng import CounterRng, philox, round_keys
from scripts.lib.own_study import Unit
from scripts.lib.seeds import key64, stream

pytestmark = pytest.mark.spread
ONES = 0xFFFFFFFF
# Of the authors' Random123, philox4x32 with ten rounds: counter, key, words.
PUBLISHED = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((ONES,) * 4, (ONES,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]
LIBRARIES = pytest.mark.parametrize("device", [None, "cpu"], ids=["numpy", "torch"])
DRAWS = ("bits", "uniforms", "normals", "permutations")


def as_words(values, device):
    array = np.array(values, np.int64).reshape(-1, 1)
    return array if device is None else torch.from_numpy(array)


def drawn(rng: CounterRng, kind: str, step: int, purpose: int, count: int) -> np.ndarray:
    return np.asarray(getattr(rng, kind)(step, purpose, count))


@LIBRARIES
@pytest.mark.parametrize(("counter", "key", "words"), PUBLISHED)
def test_the_rounds_give_the_published_words(counter, key, words, device):
    keys = round_keys(*(as_words([word], device) for word in key))
    found = philox([as_words([word], device) for word in counter], keys)
    assert tuple(word.item() for word in found) == words


@LIBRARIES
def test_many_counters_at_once_give_the_published_words_too(device):
    counters, keys, words = zip(*PUBLISHED, strict=True)
    by_word = [as_words(column, device) for column in zip(*counters, strict=True)]
    key_words = [as_words(column, device) for column in zip(*keys, strict=True)]
    found = philox(by_word, round_keys(*key_words))
    assert np.hstack([np.asarray(word) for word in found]).tolist() == [list(w) for w in words]


@LIBRARIES
def test_a_draw_is_the_words_at_its_address(device):
    """Word i of a (unit, step, purpose) is word i % 4 of the counter (i // 4, 0, step, purpose)."""
    key, step, purpose = 0x0123456789ABCDEF, 3_000_000_000, 7
    found = drawn(CounterRng([key], device), "bits", step, purpose, 10)[0]
    keys = round_keys(as_words([key & ONES], None), as_words([key >> 32], None))
    for i, word in enumerate(found):
        counter = [as_words([part], None) for part in (i // 4, 0, step, purpose)]
        assert philox(counter, keys)[i % 4].item() == word


@pytest.mark.parametrize("kind", DRAWS)
@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 127, 40_001])
def test_numpy_and_torch_draw_the_same(kind, count):
    keys = [key64(stream(42, "engression", "normal", 100, rep)) for rep in range(3)]
    ours, theirs = (drawn(CounterRng(keys, device), kind, 5, 2, count) for device in (None, "cpu"))
    assert ours.shape == theirs.shape == (3, count)
    assert ours.dtype == theirs.dtype
    if kind == "normals":
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=2e-6)
    else:
        assert np.array_equal(ours, theirs)


@LIBRARIES
@pytest.mark.parametrize("kind", DRAWS)
def test_a_unit_draws_the_same_alone_in_any_stack_and_in_parts_of_any_size(
    kind, device, monkeypatch
):
    keys = [3, 2**64 - 1, 17, 2**40]
    together = drawn(CounterRng(keys, device), kind, 1, 0, 1001)
    for order in ([0], [2, 1], [3, 0, 2]):
        assert np.array_equal(
            drawn(CounterRng([keys[i] for i in order], device), kind, 1, 0, 1001), together[order]
        )
    monkeypatch.setattr(counter_rng, "BLOCKS", 24)
    assert np.array_equal(drawn(CounterRng(keys, device), kind, 1, 0, 1001), together)


@LIBRARIES
@pytest.mark.parametrize("kind", DRAWS[:3])
def test_more_draws_leave_the_first_ones_alone(kind, device):
    few, many = (drawn(CounterRng([9], device), kind, 4, 1, count) for count in (11, 300))
    assert np.array_equal(few, many[:, :11])


def test_some_units_of_a_stack_keep_their_draws():
    rng = CounterRng([1, 2, 3], "cpu")
    fewer = rng.kept(torch.tensor([2, 0]))
    assert len(fewer) == 2
    assert torch.equal(fewer.bits(0, 0, 9), rng.bits(0, 0, 9)[[2, 0]])


def test_a_step_may_be_a_number_of_the_device():
    rng = CounterRng([1, 2], "cpu")
    step = torch.full((1, 1), 11)
    assert torch.equal(rng.normals(step, 3, 50), rng.normals(11, 3, 50))


def test_no_two_addresses_share_a_counter_and_a_key(monkeypatch):
    """Of random units, steps and purposes: every counter with its key is met once."""
    seen: list[tuple] = []

    def record(counter, keys):
        shape = np.broadcast_shapes(*(word.shape for word in counter), keys[0][0].shape)
        words = [np.broadcast_to(w, shape).ravel() for w in (*counter, *keys[0])]
        seen.extend(zip(*(w.tolist() for w in words), strict=True))
        return philox(counter, keys)

    monkeypatch.setattr(counter_rng, "philox", record)
    monkeypatch.setattr(counter_rng, "BLOCKS", 8)
    random = np.random.default_rng(0)
    steps = [0, 1, 2**32 - 1, *random.integers(2**32, size=5).tolist()]
    purposes = [0, 1, 2**32 - 1, *random.integers(2**32, size=3).tolist()]
    keys = [0, 1, 1 << 32, 2**64 - 1, *random.integers(2**63, size=4).tolist()]
    rng = CounterRng(keys)
    for step, purpose in itertools.product(steps, purposes):
        rng.bits(step, purpose, 45)
    assert len(seen) == len(steps) * len(purposes) * len(keys) * 12
    assert len(set(seen)) == len(seen)


def test_an_index_beyond_two_to_the_32_has_a_counter_of_its_own():
    rng = CounterRng([5])
    low, high, *_ = rng._counter(2**32 - 2, 4, 0, 0)
    assert list(zip(low[0].tolist(), high[0].tolist(), strict=True)) == [
        (2**32 - 2, 0), (2**32 - 1, 0), (0, 1), (1, 1),
    ]  # fmt: skip


@pytest.mark.parametrize("value", [-1, 2**32])
def test_a_step_or_purpose_out_of_range_is_refused_in_a_sentence(value):
    rng = CounterRng([5])
    for address in ((value, 0), (0, value)):
        with pytest.raises(ValueError, match=rf"^(step|purpose) is {value}; it must be a whole"):
            rng.bits(*address, 4)


@pytest.mark.parametrize("key", [-1, 2**64])
def test_a_key_out_of_range_is_refused_in_a_sentence(key):
    with pytest.raises(ValueError, match=r"^key is"):
        CounterRng([key])


def test_the_keys_of_a_study_differ():
    units = itertools.product(["normal", "uniform"], [100, 500], range(500), ["draws", "more"])
    keys = {key64(stream(42, "engression", *labels)) for labels in units}
    assert len(keys) == 4000
    labels = {"law": "normal", "n": 100, "rep": 3}
    unit = Unit("engression", 42, labels, None)
    assert unit.counter_key("draws") == key64(stream(42, "engression", "normal", 100, 3, "draws"))


N = 400_000


def test_uniforms_are_open_and_uniform():
    u = CounterRng([key64(stream(42, "uniforms"))]).uniforms(0, 0, N)[0]
    assert u.dtype == np.float32
    assert 0 < u.min() < u.max() < 1
    assert stats.kstest(u.astype(float), "uniform").pvalue > 1e-3
    lag = np.corrcoef(u[:-1], u[1:])[0, 1]
    assert abs(lag) < 4 / math.sqrt(N)


def test_the_ends_of_the_uniforms_are_never_reached(monkeypatch):
    rng = CounterRng([1])
    ends = [np.array([[0, ONES]])] * 4
    assert [u.tolist() for u in rng._uniform(ends)[0]] == [[2.0**-24, 1 - 2.0**-24]]
    assert np.abs(rng._normal(ends)).max() == pytest.approx(5.768, abs=1e-3)


@LIBRARIES
def test_normals_have_their_moments_and_distribution(device):
    z = drawn(CounterRng([key64(stream(42, "normals"))], device), "normals", 0, 0, N)[0]
    z = z.astype(float)
    assert stats.kstest(z, "norm").pvalue > 1e-3
    for power, moment, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
        assert abs((z**power).mean() - moment) < 4 * math.sqrt(variance / N)
    # The two of a pair share a radius, and nothing else.
    for first, second in (z.reshape(-1, 2).T, (z.reshape(-1, 2) ** 2).T):
        assert abs(np.corrcoef(first, second)[0, 1]) < 4 / math.sqrt(N / 2)


def test_units_steps_and_purposes_are_uncorrelated():
    rng = CounterRng([1, 2])
    parts = [*rng.normals(0, 0, 50_000), *rng.normals(1, 0, 50_000), *rng.normals(0, 1, 50_000)]
    correlations = np.corrcoef(parts)[np.triu_indices(6, 1)]
    assert np.abs(correlations).max() < 4.5 / math.sqrt(50_000)


def test_permutations_are_orders_and_every_order_is_as_likely():
    rng = CounterRng(list(range(1000)))
    orders = np.vstack([rng.permutations(step, 1, 4) for step in range(6)])
    assert (np.sort(orders, axis=1) == np.arange(4)).all()
    counts = np.unique(orders, axis=0, return_counts=True)[1]
    assert len(counts) == 24
    assert stats.chisquare(counts).pvalue > 1e-3
