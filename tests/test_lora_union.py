"""The union pass gives the reference's numbers to rounding, whatever the chunks, and cheaply."""

import functools
import tracemalloc

import numpy as np
import pytest
import torch

from scripts.lora_ablation.data.layout import DOWN, UP, Layout, sd15_layout
from scripts.lora_ablation.representations import moments, original
from scripts.lora_ablation.representations.catalogue import FAMILIES, REPRESENTATIONS, deviation
from scripts.lora_ablation.representations.grouped import family_features
from scripts.lora_ablation.representations.quantiles import LEVELS
from scripts.lora_ablation.representations.singular import singular_values, top10
from scripts.lora_ablation.representations.union import COMPUTE, layerwise, select, union

# `ensemble` is the concatenation of others in both arms.
BASIC = [name for name in REPRESENTATIONS if name not in ("ensemble", "product")]
LIGHT = [(1, 320), (320, 1), (1, 768), (1, 1280), (1280, 1), (4, 320), (320, 4), (4, 1280)]
HEAVY = [(16, 1280), (1280, 16), (64, 320), (64, 1280)]


def heavy(shapes):
    return [pytest.param(shape, marks=pytest.mark.slow) for shape in shapes]


def alone(x: np.ndarray) -> tuple[np.ndarray, Layout]:
    """Matrices [n, p, q] as n adapters of one tensor."""
    return x.reshape(len(x), -1), Layout(("w",), (x.shape[1:],))


def truth(x: np.ndarray, representation: str) -> np.ndarray:
    return original.represent(*alone(x), representation, [0], dtype=torch.float64)


def worst(x: np.ndarray, representations: list[str] = BASIC) -> dict[str, float]:
    """Deviation of the union from the reference in float64, by representation."""
    numbers = union(*alone(x))
    return {
        name: deviation(
            select(numbers, name, [0]), truth(x, name), REPRESENTATIONS[name], min(x.shape[1:])
        )
        for name in representations
    }


@functools.cache
def draws(kind: str, shape: tuple[int, int], n: int = 200) -> np.ndarray:
    """Tensors as adapters have them: down N(0, 1), up of size 0.01, up with a class's pattern."""
    rng = np.random.default_rng([len(kind), *shape])
    x = rng.standard_normal((n, *shape), np.float32)
    if kind == "down":
        return x
    pattern = (
        rng.standard_normal((5, *shape), np.float32) if kind == "pattern" else np.zeros((5, 1, 1))
    )
    sign = rng.choice([-1, 1], (n, 1, 1))
    return (0.01 * sign * (x + pattern[np.arange(n) % 5])).astype(np.float32)


@pytest.mark.parametrize("shape", LIGHT + heavy(HEAVY))
@pytest.mark.parametrize("kind", ["down", "up", "pattern"])
def test_the_union_is_the_reference_to_rounding(kind, shape):
    found = worst(draws(kind, shape))
    assert max(found.values()) <= 1, found


@pytest.mark.parametrize("shape", [(4, 320), (320, 4), (16, 320)])
def test_rank_deficient_tensors_are_no_exception(shape):
    rng, (p, q) = np.random.default_rng(0), shape
    exact = rng.standard_normal((100, *shape), np.float32)
    short = exact if p < q else exact.swapaxes(1, 2)
    short[:, -1] = short[:, 0]
    left, right = rng.standard_normal((100, p, 2)), rng.standard_normal((100, 2, q))
    for x in (exact, (left @ right).astype(np.float32)):
        found = worst(x)
        assert max(found.values()) <= 1, found


def test_the_ensemble_is_the_reference_to_rounding_at_every_rank():
    for shape in [(1, 320), (320, 4), (16, 320)]:
        assert worst(draws("up", shape, 20), ["ensemble"])["ensemble"] <= 1


def test_layer_by_layer_gives_the_bits_of_the_union():
    layout = small(4)
    x = np.random.default_rng(1).standard_normal((9, layout.width), np.float32)
    numbers, found = union(x, layout), layerwise(x, layout)
    assert set(found) == set(FAMILIES)
    for representation in [*BASIC, "ensemble"]:
        expected = select(numbers, representation, [0, 3, 4])
        assert np.array_equal(select(found, representation, [0, 3, 4]), expected)


def small(rank: int) -> Layout:
    """Two pairs of one shape, one of another."""
    sizes = {"a": (40, 64), "b": (40, 64), "c": (64, 64)}
    shapes = {name + DOWN: (rank, size[0]) for name, size in sizes.items()}
    return Layout.of(shapes | {name + UP: (size[1], rank) for name, size in sizes.items()})


@pytest.mark.parametrize("rank", [1, 4, 16])
def test_neither_chunks_nor_other_adapters_change_a_bit(rank):
    layout = small(rank)
    x = np.random.default_rng(2).standard_normal((23, layout.width), np.float32)
    for family, names in FAMILIES.items():
        compute, k = COMPUTE[family], len(names)
        expected = family_features(x, layout, compute, k)
        for chunk_bytes in (1, 5000, 30_000, 1 << 18):
            assert np.array_equal(family_features(x, layout, compute, k, chunk_bytes), expected)
        for rows in (slice(0, 1), slice(5, 12)):
            found = family_features(x[rows], layout, compute, k)
            assert np.array_equal(found, expected[rows]), family


def test_real_shapes_are_chunked_without_changing_a_bit():
    layout = sd15_layout(1)
    x = np.random.default_rng(3).standard_normal((6, layout.width), np.float32)
    expected, found = union(x, layout), union(x[3:5], layout, chunk_bytes=1 << 14)
    for family, numbers in expected.items():
        assert np.array_equal(numbers[3:5], found[family]), family


def test_visual_only_is_a_selection_of_the_columns_of_all_layers():
    layout = sd15_layout(1)
    x = np.random.default_rng(4).standard_normal((1, layout.width), np.float32)
    visual = layout.selected("visual")
    every = original.represent(x, layout, "stats", layout.selected("all")).reshape(1, -1, 7)
    found = original.represent(x, layout, "stats", visual)
    assert np.array_equal(found, every[:, visual].reshape(1, -1))


@pytest.mark.parametrize("family", FAMILIES)
def test_memory_of_the_pass_does_not_grow_with_the_adapters(tmp_path, family):
    layout, k = small(4), len(FAMILIES[family])
    peaks = []
    for rows in (200, 800):
        path = tmp_path / f"{rows}.npy"
        np.save(path, np.random.default_rng(5).standard_normal((rows, layout.width), np.float32))
        matrix = np.load(path, mmap_mode="r")
        tracemalloc.start()
        found = family_features(matrix, layout, COMPUTE[family], k, chunk_bytes=1 << 16)
        peaks.append(tracemalloc.get_traced_memory()[1] - found.nbytes)
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 50_000


def test_control_the_low_rank_svd_is_not_exact_beyond_rank_ten():
    for rank, n in ((16, 20), (64, 3)):
        x = draws("down", (rank, 320), n)
        columns = REPRESENTATIONS["spectral"]
        found = original.represent(*alone(x), "spectral", [0], svd="lowrank")
        assert deviation(found, truth(x, "spectral"), columns, rank) > 100
        assert worst(x, ["spectral"])["spectral"] <= 1
    x = draws("down", (4, 320), 20)
    exact = original.represent(*alone(x), "spectral", [0], svd="lowrank")
    assert deviation(exact, truth(x, "spectral"), REPRESENTATIONS["spectral"], 4) <= 1


def test_control_a_float32_gram_matrix_is_not_exact_at_a_condition_of_1000():
    rng = np.random.default_rng(6)
    left = np.linalg.qr(rng.standard_normal((20, 8, 8)))[0]
    right = np.linalg.qr(rng.standard_normal((20, 320, 8)))[0].swapaxes(1, 2)
    x = ((left * np.geomspace(1, 1e-3, 8)) @ right).astype(np.float32)
    values = np.linalg.svd(x.astype(np.float64), compute_uv=False)
    columns = [["spectral", f"s{i}"] for i in range(1, 9)]
    squares = np.linalg.eigvalsh(x @ x.swapaxes(1, 2))[:, ::-1]
    gram, found = np.sqrt(np.maximum(squares, 0)), top10(singular_values(x))[:, :8]
    assert deviation(gram, values, columns, 8) > 10
    assert deviation(found, values, columns, 8) <= 0.1
    assert np.abs(gram[:, 7] / values[:, 7] - 1).max() > 1e-3
    assert np.abs(found[:, 7] / values[:, 7] - 1).max() < 1e-6


def test_control_the_middle_of_both_medians_is_not_the_lower_one():
    x = draws("down", (1, 320))
    names = FAMILIES["quantiles"]
    numbers = COMPUTE["quantiles"](x)
    columns = [["quantiles", "median"]]
    lower = truth(x, "stats")[:, 2:3]
    assert LEVELS[4] == 0.5
    assert deviation(numbers[:, [names.index("median")]], lower, columns, 1) <= 1
    assert deviation(numbers[:, [names.index("q50")]], lower, columns, 1) > 100


def test_control_population_moments_are_not_those_of_the_source():
    x = draws("down", (1, 1280))
    columns = [["moments", name] for name in FAMILIES["moments"]]
    found = moments.compute(x)
    other = found.copy()
    other[:, 1] *= np.sqrt(1279 / 1280)
    assert deviation(found, found, columns, 1) == 0
    assert deviation(other, found, columns, 1) > 10
    other[0, 0] = np.nan
    assert deviation(other, found, columns, 1) == np.inf


def test_control_a_histogram_may_differ_in_one_tensor_of_a_thousand():
    columns = [["entropy", "entropy"]]
    found = np.full((2000, 1), 3.5)
    for moved, within in ((2, True), (3, False)):
        other = found.copy()
        other[:moved] += 1e-3
        assert (deviation(other, found, columns, 1) <= 1) is within
    assert deviation(found + 6e-3 * (np.arange(2000) == 0)[:, None], found, columns, 1) > 1
