"""Both loaders deliver the same batches: every sequence once an epoch."""

import numpy as np
import pytest
import torch

from scripts.deep_gpcm.models.batches import Batch, Resident, order
from scripts.deep_gpcm.models.choices import loader_of
from scripts.deep_gpcm.models.reference import pad
from scripts.deep_gpcm.options import Training
from scripts.lib.torch_rng import torch_rng
from tests.gpcm_networks import arm, fold


def train(**changes) -> Training:
    return arm("fused", **changes).train


def epochs_of(loader: str, count: int = 2, seed: int = 1, **changes) -> list[Batch]:
    part = fold().parts["train"]
    made = loader_of(loader, part, train(**changes), torch_rng(seed, "shuffle"))
    return [delivered for _ in range(count) for delivered in made]


def same(a: list[Batch], b: list[Batch]) -> bool:
    fields = ("question", "response", "lengths")
    return len(a) == len(b) and all(
        torch.equal(getattr(x, field), getattr(y, field))
        for x, y in zip(a, b, strict=True)
        for field in fields
    )


@pytest.mark.filterwarnings("ignore:This DataLoader will create")  # on one core
@pytest.mark.parametrize("buckets", [False, True])
@pytest.mark.parametrize("workers", [0, 2])
def test_lists_and_resident_data_deliver_the_same_batches(workers, buckets):
    expected = epochs_of("resident", batch=7, buckets=buckets)
    assert same(epochs_of("lists", batch=7, buckets=buckets, workers=workers), expected)
    assert not same(epochs_of("resident", batch=7, seed=2, buckets=buckets), expected)
    assert not same(expected[:4], expected[4:])


@pytest.mark.parametrize("buckets", [False, True])
def test_an_epoch_has_every_sequence_once(buckets):
    part = fold().parts["train"]
    delivered = epochs_of("resident", count=1, batch=7, buckets=buckets)
    assert sorted(len(found.lengths) for found in delivered) == [3, 7, 7, 7]
    found = [
        (tuple(q.tolist()), tuple(r.tolist()))
        for one in delivered
        for q, r in zip(
            one.question.split(one.lengths.tolist()),
            one.response.split(one.lengths.tolist()),
            strict=True,
        )
    ]
    ends = zip(part.starts, part.starts + part.lengths, strict=True)
    expected = [(tuple(part.question[a:b]), tuple(part.response[a:b])) for a, b in ends]
    assert sorted(found) == sorted(expected)
    assert found != expected


def test_buckets_have_less_padding_and_stretches_of_the_same_students():
    rng = np.random.default_rng(0)
    lengths = torch.from_numpy(rng.integers(10, 50, 640))
    padding = {}
    for buckets in (False, True):
        found = order(lengths, train(batch=16, buckets=buckets), torch_rng(1))
        assert torch.equal(torch.cat(found).sort().values, torch.arange(640))
        padding[buckets] = sum(int(lengths[x].max()) * len(x) for x in found) / int(lengths.sum())
    assert padding[False] > 1.5
    assert padding[True] < 1.15
    longest = [int(lengths[x].max()) for x in found[:8]]  # were it not shuffled: one stretch
    assert longest != sorted(longest)


def test_lists_are_padded_with_zeros_behind():
    question, response, lengths = pad([([3, 1], [2, 0]), ([5], [1])])
    assert question.tolist() == [[3, 1], [5, 0]]
    assert response.tolist() == [[2, 0], [1, 0]]
    assert lengths.tolist() == [2, 1]


def test_a_batch_of_chosen_sequences_has_their_answers_in_the_order_chosen():
    part = fold().parts["train"]
    found = Resident(part).batch(torch.tensor([5, 0, 5]))
    ends = [slice(part.starts[i], part.starts[i] + part.lengths[i]) for i in (5, 0, 5)]
    assert found.lengths.tolist() == part.lengths[[5, 0, 5]].tolist()
    assert found.question.tolist() == np.concatenate([part.question[x] for x in ends]).tolist()
    assert found.response.tolist() == np.concatenate([part.response[x] for x in ends]).tolist()
