"""The representations are the original's: golden values, dimensions, orders, and odd tensors."""

import ctypes
import json

import numpy as np
import pytest
import torch

from scripts.lib.faults import ContractError
from scripts.lib.table_files import write_table
from scripts.lora_ablation import features, measured
from scripts.lora_ablation.data.layout import Layout, sd15_layout
from scripts.lora_ablation.data.store import read_family, write_family
from scripts.lora_ablation.representations import norms, original
from scripts.lora_ablation.representations.catalogue import (
    FAMILIES,
    PAIR_FAMILIES,
    REPRESENTATIONS,
    deviation,
    family_job,
)
from scripts.lora_ablation.representations.product import compute as product
from scripts.lora_ablation.representations.union import COMPUTE, layerwise, select, union

DIMENSIONS = {
    "simple_stats": 5,
    "rank_based": 11,
    "stats": 7,
    "spectral": 32,
    "matrix_norms": 7,
    "distribution": 12,
    "frequency": 14,
    "info_theoretic": 2,
    "ensemble": 67,
}
# docs/studies/lora_ablation.md, Golden facts. Six digits of G1 = sin((i+1)(j+1)), 4 x 12, and of
# G2 = sin(j+1), 1 x 16.
G1 = {
    "simple_stats": "5.06272 -0.0335132 0.737697 0.999912 -0.99999",
    "rank_based": "-0.996131 -0.990467 -0.921582 -0.752441 -0.279415 0.767999 0.966271 0.989358 "
    "0.995539 1.52044 1.99167",
    "stats": "-0.0335132 0.737697 -0.279415 -0.99999 0.999912 0.163896 1.3901",
    "spectral": "2.66492 2.6045 2.50702 2.33683 0 0 0 0 0 0 0.263507 0.257533 0.247894 0.231065 "
    "0 0 0 0 0 0 0.0226717 0.037427 0.0678881 1 0 0 0 0 0 1.38508 2.66492e8 10.1133",
    "matrix_norms": "5.06272 10.1133 2.66492 3.20218 8.44883 1.9976 0.526381",
    "distribution": "-0.990467 -0.921582 -0.752441 -0.279415 0.767999 0.966271 0.989358 1.52044 "
    "0.666601 22.0121 0.163896 1.3901",
    "frequency": "9.26635 8.86034 8.86034 8.45911 8.45911 8.25319 7.98708 7.98708 7.11163 7.11163 "
    "4.0812 2.99582 9.26635 0.555023",
    "info_theoretic": "2.82803 0.722908",
}
G2 = {
    "simple_stats": "2.82009 0.102986 0.720335 0.990607 -0.99999",
    "rank_based": "-0.99383 -0.969191 -0.857863 -0.538435 0.276619 0.703108 0.949328 0.989671 "
    "0.99042 1.24154 1.98425",
    "stats": "0.102986 0.720335 0.14112 -0.99999 0.990607 -0.184748 1.35722",
    "spectral": "2.82009 0 0 0 0 0 0 0 0 0 1 0 0 0 0 0 0 0 0 0 1 0 0 0 0 0 0 0 0 0 "
    "2.82009e8 2.82009",
    "matrix_norms": "2.82009 2.82009 2.82009 0.99999 10.375 1 1",
    "distribution": "-0.969191 -0.857863 -0.538435 0.276619 0.703108 0.949328 0.989671 1.24154 "
    "0.635567 6.99446 -0.184748 1.35722",
    "frequency": "5.43546 5.43546 4.83259 4.83259 2.00849 2.00849 1.68953 1.68953 1.64778 1.0463 "
    "2.21144 1.74999 5.43546 0.969639",
    "info_theoretic": "2.42601 0.620143",
}
MATRICES = {
    "G1": np.sin(np.outer(np.arange(1, 5), np.arange(1, 13))).astype(np.float32),
    "G2": np.sin(np.arange(1, 17))[None].astype(np.float32),
}


def represented(w: np.ndarray, representation: str, by: str) -> np.ndarray:
    """A representation of one matrix, by the arm `by`."""
    layout, row = Layout(("w",), (w.shape,)), w.reshape(1, -1)
    if by == "reference":
        return original.represent(row, layout, representation, [0])[0]
    compute = {"union": union, "layerwise": layerwise}[by]
    return select(compute(row, layout), representation, [0])[0]


@pytest.mark.parametrize("by", ["reference", "union", "layerwise"])
@pytest.mark.parametrize("representation", DIMENSIONS)
@pytest.mark.parametrize(("which", "golden"), [("G1", G1), ("G2", G2)])
def test_every_arm_gives_the_golden_values_of_the_original(which, golden, representation, by):
    parts = [representation]
    if representation == "ensemble":
        parts = ["spectral", "matrix_norms", "distribution", "frequency", "info_theoretic"]
    expected = [float(value) for part in parts for value in golden[part].split()]
    found = represented(MATRICES[which], representation, by)
    # Its float32 LAPACK differs between processors, by up to 4e-7 in a share of singular values.
    room = 5e-7 if by == "reference" else 2e-7
    assert found == pytest.approx(expected, rel=6e-6, abs=room)


@pytest.mark.parametrize("representation", DIMENSIONS)
def test_dimensions_are_those_of_the_original(representation):
    layout = sd15_layout(1)
    row = np.random.default_rng(0).standard_normal((1, layout.width), np.float32)
    assert len(REPRESENTATIONS[representation]) == DIMENSIONS[representation]
    for selection, count in (("all", 128), ("visual", 64)):
        found = original.represent(row, layout, representation, layout.selected(selection))
        assert found.shape == (1, count * DIMENSIONS[representation])


def test_families_compute_as_many_numbers_as_the_catalogue_names():
    x = np.random.default_rng(0).standard_normal((3, 4, 20), np.float32)
    for family, names in FAMILIES.items():
        found = COMPUTE[family](x)
        assert (found.shape, found.dtype) == ((3, len(names)), np.float32)
    found = product(x, x.swapaxes(1, 2), np.ones(3))
    assert (found.shape, found.dtype) == ((3, len(PAIR_FAMILIES["product"])), np.float32)


def test_a_transposed_tensor_swaps_l1_and_linf_and_changes_nothing_else():
    w = MATRICES["G1"]
    for representation in DIMENSIONS:
        there, back = (represented(m, representation, "union") for m in (w, w.T.copy()))
        names = [name for _, name in REPRESENTATIONS[representation]]
        if "l1" in names:
            i, j = names.index("l1"), names.index("linf")
            assert there[i] != pytest.approx(there[j], rel=0.1)
            back[[i, j]] = back[[j, i]]
        assert back == pytest.approx(there, rel=2e-6, abs=1e-6), representation


def test_numbers_that_rank_one_makes_constant_are_exactly_constant():
    x = np.random.default_rng(1).standard_normal((300, 1, 320), np.float32)
    spectral = dict(zip(FAMILIES["spectral"], COMPUTE["spectral"](x).T, strict=True))
    constant = ["p1", "g1", "nuclear_frob", "spectral_frob", "s2", "p2", "g2"]
    assert [np.ptp(spectral[name]) for name in constant] == [0.0] * len(constant)
    assert np.abs(spectral["entropy"]).max() < 2e-8


def test_the_norms_are_those_of_numpy():
    x = np.random.default_rng(2).standard_normal((5, 7, 40)).astype(np.float32)
    for w, found in zip(x, norms.compute(x), strict=True):
        expected = [np.linalg.norm(w), np.linalg.norm(w, 1), np.linalg.norm(w, np.inf)]
        assert found == pytest.approx(expected, rel=1e-6)


def test_rows_of_five_give_no_warning_whatever_was_left_on_the_stack(monkeypatch):
    class Stack(ctypes.Structure):
        _fields_ = [("words", ctypes.c_uint32 * 16384)]

    signalling_nans = Stack((ctypes.c_uint32 * 16384)(*[0x7FA00000] * 16384))
    by_value, ones = ctypes.CDLL(None).abs, np.ones  # an argument by value is copied to the stack

    def ones_then_spill(*args):
        made = ones(*args)
        by_value(signalling_nans)
        return made

    x = np.random.default_rng(3).standard_normal((1, 2, 5)).astype(np.float32)
    before = norms.compute(x)
    monkeypatch.setattr(np, "ones", ones_then_spill)
    assert np.array_equal(norms.compute(x), before)


@pytest.mark.parametrize("shape", [(1, 1), (1, 2), (2, 1), (2, 2), (3, 3), (1, 9), (2, 5), (3, 11)])
def test_tiny_tensors_have_finite_numbers_and_the_truth_wherever_the_source_has_one(shape):
    w = np.random.default_rng(3).standard_normal(shape).astype(np.float32)
    for representation, columns in REPRESENTATIONS.items():
        if representation == "product":
            continue
        found = represented(w, representation, "union")
        assert np.isfinite(found).all()
        if w.size > 1:  # the original's std of one value is NaN
            truth = represented(w.astype(np.float64), representation, "reference")
            assert deviation(found[None], truth[None], columns, min(shape)) <= 1


@pytest.mark.parametrize("value", [0.0, 0.1, -3.0])
def test_constant_tensors_have_no_entropy_no_spread_and_only_finite_numbers(value):
    for shape in ((1, 320), (320, 4)):
        x = np.full((2, *shape), value, np.float32)
        assert np.isfinite([*map(np.sum, (compute(x) for compute in COMPUTE.values()))]).all()
        assert np.abs(COMPUTE["entropy"](x)).max() < 1e-7
        assert np.abs(COMPUTE["moments"](x)[:, 1:5]).max() < 1e-6


def test_the_low_rank_svd_is_seeded_and_differs_from_the_full_one_only_in_spectral_columns():
    layout = Layout(("a", "b"), ((16, 64), (64, 16)))
    x = np.random.default_rng(4).standard_normal((2, layout.width), np.float32)
    state = torch.random.get_rng_state()
    full = original.represent(x, layout, "ensemble", [0, 1])
    low, again, other = (
        original.represent(x, layout, "ensemble", [0, 1], "lowrank", seed=s) for s in (1, 1, 2)
    )
    assert np.array_equal(low, again)
    assert not np.array_equal(low, other)
    low, full = low.reshape(2, 2, 67), full.reshape(2, 2, 67)
    assert np.array_equal(low[..., 32:], full[..., 32:])
    assert np.abs(low[..., 9] / full[..., 9] - 1).min() > 1e-3
    assert torch.equal(state, torch.random.get_rng_state())


def test_cond_is_one_below_rank_ten_only_in_the_legacy_low_rank_script():
    x = torch.from_numpy(MATRICES["G1"])[None]
    cond = {
        (svd, legacy): float(original.spectral(x, svd, legacy)[0, 30])
        for svd in ("full", "lowrank")
        for legacy in (False, True)
    }
    assert cond.pop(("lowrank", True)) == 1.0
    assert [*cond.values()] == pytest.approx([2.66492e8] * 3, rel=1e-5)


@pytest.mark.parametrize("shape", [(1, 320), (320, 1), (4, 64), (64, 4), (16, 40)])
def test_the_exact_ways_give_the_ten_largest_singular_values(shape):
    x = np.random.default_rng(5).standard_normal((6, *shape)).astype(np.float32)
    found, expected = measured.qr_batched(x), measured.full_loop(x)
    assert found.shape == (6, 10)
    assert np.abs(found - expected).max() < 3e-6 * expected.max()


def test_the_fft_loop_gives_the_numbers_of_the_family_frequency():
    x = np.random.default_rng(6).standard_normal((6, 4, 33)).astype(np.float32)
    assert measured.fft_loop(x) == pytest.approx(COMPUTE["frequency"](x), rel=3e-6)


@pytest.mark.parametrize("pairs", [False, True])
def test_a_stored_family_is_what_was_computed_in_any_blocks(tmp_path, pairs, monkeypatch):
    monkeypatch.setattr(features, "ROW_GROUP", 3)
    layout = Layout.of({"a.lora.down.weight": (2, 12), "a.lora.up.weight": (9, 2)})
    matrix = np.random.default_rng(7).standard_normal((7, layout.width), np.float32)
    scales = np.linspace(1, 2, 7)[:, None]
    family, k = ("product", 16) if pairs else ("moments", 6)
    job = family_job(family)
    assert (len(job.names), job.pairs) == (k, pairs)
    path, rows = tmp_path / "f.parquet", np.arange(7)
    write_family(path, family, k, rows, features.blocks(job, matrix, layout, scales))
    monkeypatch.setattr(features, "ROW_GROUP", 100)
    (expected,) = features.blocks(job, matrix, layout, scales)
    found = read_family(path)
    assert found.shape == (7, 1 if pairs else 2, k)
    assert np.array_equal(found.reshape(7, -1), expected)


def test_features_refuse_a_store_whose_files_do_not_belong_together(tmp_path):
    layout = Layout.of({"a.lora.down.weight": (2, 12), "a.lora.up.weight": (9, 2)})
    names = ("x.npy", "layout.json", "index.parquet")
    tensors, shapes, index = (tmp_path / name for name in names)
    np.save(tensors, np.ones((3, layout.width), np.float32))
    shapes.write_text(json.dumps(layout.to_json()))
    write_table(index, {"row": [4, 5, 6], "scale": [[0.5], [1.0], [2.0]]})
    matrix, found, rows, scales = features.stored(tensors, shapes, index, pairs=True)
    assert (matrix.shape, found, rows.tolist()) == ((3, 42), layout, [4, 5, 6])
    assert scales.tolist() == [[0.5], [1.0], [2.0]]
    write_table(index, {"row": [4, 5]})
    with pytest.raises(ContractError, match=r"3 adapters of 42 values; .* have 2 of 42"):
        features.stored(tensors, shapes, index, pairs=False)
    with pytest.raises(ContractError, match="1 rows of features for 2"):
        write_family(tmp_path / "f", "moments", 6, np.arange(2), [np.ones((1, 6))])
    assert not (tmp_path / "f").exists()
