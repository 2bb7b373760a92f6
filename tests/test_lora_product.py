"""The numbers of up @ down: those of the explicit product, whatever the factors."""

import numpy as np
import pytest

from scripts.lora_ablation.data.layout import DOWN, UP, Layout
from scripts.lora_ablation.representations import product
from scripts.lora_ablation.representations.catalogue import FAMILIES, PAIR_FAMILIES, deviation
from scripts.lora_ablation.representations.grouped import pair_features
from scripts.lora_ablation.representations.union import COMPUTE

COLUMNS = [["product", name] for name in PAIR_FAMILIES["product"]]
NAMES = PAIR_FAMILIES["product"]


def factors(n: int, rank: int, inputs: int = 70, outputs: int = 90, mean: float = 0.0):
    """down [n, r, in] of size 1, up [n, out, r] of size 0.01, scale [n]."""
    rng = np.random.default_rng([n, rank])
    down = rng.standard_normal((n, rank, inputs)) + mean
    up = 0.01 * (rng.standard_normal((n, outputs, rank)) + mean)
    return down.astype(np.float32), up.astype(np.float32), rng.uniform(0.5, 2, n)


def explicit(down: np.ndarray, up: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """The same from the entries of the product, in float64."""
    rows = []
    for a, b, s in zip(down.astype(float), up.astype(float), scale, strict=True):
        d = s * b @ a
        values = np.zeros(10)
        found = np.linalg.svd(d, compute_uv=False)
        kept = min(10, a.shape[0], len(found))
        values[:kept] = found[:kept]
        z = (d - d.mean()) / (d.std(ddof=1) + 1e-8)
        numbers = [np.linalg.norm(d), found.sum(), d.mean(), d.std(ddof=1)]
        rows.append([*values, *numbers, (z**3).mean(), (z**4).mean()])
    return np.array(rows)


@pytest.mark.parametrize("mean", [0.0, 3.0])
@pytest.mark.parametrize("rank", [1, 2, 4, 8, 12, 16, 20])
def test_the_numbers_are_those_of_the_explicit_product(rank, mean):
    pairs = factors(5, rank, mean=mean)
    assert deviation(product.compute(*pairs), explicit(*pairs), COLUMNS, rank) <= 1


def test_sums_over_tuples_of_factors_are_sums_over_entries():
    down, up, _ = factors(4, 5)
    b, a = up.swapaxes(1, 2).astype(float), down.astype(float)
    mean = np.einsum("nij,nik->n", b, a) / (b.shape[2] * a.shape[2])
    tuples, entries = product._by_tuples(b, a, mean), product._by_entries(b, a, mean)
    assert np.array(tuples) == pytest.approx(np.array(entries), rel=1e-12)


def test_a_rank_larger_than_the_matrix_is_no_exception():
    pairs = factors(3, 6, inputs=4, outputs=5)
    assert deviation(product.compute(*pairs), explicit(*pairs), COLUMNS, 4) <= 1


@pytest.mark.parametrize("rank", [1, 4])
def test_how_the_product_is_factored_changes_nothing(rank):
    down, up, scale = factors(6, rank)
    gauge = np.random.default_rng(9).standard_normal((6, rank, rank)) + 2 * np.eye(rank)
    other_down = (gauge @ down).astype(np.float32)
    other_up = (up @ np.linalg.inv(gauge)).astype(np.float32)
    found = product.compute(down, up, scale)
    other = product.compute(other_down, other_up, scale)
    assert other == pytest.approx(found, rel=2e-5, abs=2e-6)
    for family in FAMILIES:
        if family != "entropy":
            there, back = COMPUTE[family](up), COMPUTE[family](other_up)
            assert not np.allclose(back, there, rtol=0.01, atol=1e-4), family


def test_the_sign_of_a_pair_of_rank_one_is_arbitrary_and_does_not_enter():
    down, up, scale = factors(5, 1)
    assert np.array_equal(product.compute(down, up, scale), product.compute(-down, -up, scale))
    assert np.abs(COMPUTE["moments"](up) - COMPUTE["moments"](-up)).max() > 1e-4


def test_the_scale_is_a_factor_of_the_product():
    down, up, _ = factors(5, 4)
    once, thrice = (product.compute(down, up, np.full(5, s)) for s in (1.0, 3.0))
    minus = product.compute(down, up, np.full(5, -1.0))
    shape = [NAMES.index("skew"), NAMES.index("kurt")]
    linear = [i for i in range(len(NAMES)) if i not in shape]
    assert thrice[:, linear] == pytest.approx(3 * once[:, linear], rel=1e-6)
    assert thrice[:, shape] == pytest.approx(once[:, shape], rel=1e-5)
    odd = [NAMES.index("mean"), NAMES.index("skew")]
    once[:, odd] *= -1
    assert minus == pytest.approx(once, rel=1e-6)


def test_untrained_pairs_have_a_product_of_zeros():
    down, up, scale = factors(3, 2)
    assert np.array_equal(product.compute(down, 0 * up, scale), np.zeros((3, 16), np.float32))


def test_pairs_are_in_the_order_of_the_layout_with_their_own_scales():
    sizes = {"b": (40, 64), "a": (40, 64), "c": (64, 64), "text_encoder.a": (40, 64)}
    shapes = {name + DOWN: (2, size[0]) for name, size in sizes.items()}
    layout = Layout.of(shapes | {name + UP: (size[1], 2) for name, size in sizes.items()})
    rng = np.random.default_rng(0)
    matrix = rng.standard_normal((9, layout.width), np.float32)
    scales = rng.uniform(0.5, 2, (9, 4)).astype(np.float32)
    found = pair_features(matrix, layout, scales, product.compute, 16).reshape(9, 4, 16)
    for chunk_bytes in (1, 5000):
        again = pair_features(matrix, layout, scales, product.compute, 16, chunk_bytes)
        assert np.array_equal(again, found.reshape(9, -1))

    def tensor(name: str) -> np.ndarray:
        i = layout.names.index(name)
        values = matrix[:, layout.offsets[i] : layout.offsets[i + 1]]
        return values.reshape(9, *layout.shapes[i])

    for i, module in enumerate(("a", "b", "c", "text_encoder.a")):
        down, up = tensor(module + DOWN), tensor(module + UP)
        expected = product.compute(down, up, scales[:, i].astype(np.float64))
        assert np.array_equal(found[:, i], expected)
