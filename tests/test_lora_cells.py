"""How a cell is cut out of the stored features."""

import numpy as np
import pytest

from scripts.lib.table_files import write_table
from scripts.lora_ablation.data.cell import features, read_cell, weights
from scripts.lora_ablation.data.layout import Layout
from scripts.lora_ablation.data.store import write_family
from scripts.lora_ablation.jobs import Jobs
from scripts.lora_ablation.representations.catalogue import FAMILIES, PAIR_FAMILIES, columns
from tests.lora_cells import section

LAYOUT = Layout.of(
    {f"unet.x.attn{a}.to_q.lora.{side}.weight": (1, 2) for a in "12" for side in ("down", "up")}
)
N = 7


def family(folder, name: str, members: int, s10=None) -> tuple[np.ndarray, list]:
    """Numbers (N, members, k) of one family that say where they stand, in two shards' files."""
    names = (FAMILIES | PAIR_FAMILIES)[name]
    shape = (N, members, len(names))
    values = np.arange(np.prod(shape), dtype=np.float32).reshape(shape) + 1
    if s10 is not None:
        values[..., names.index("s10")] = s10
    files = []
    for shard, rows in (("a", slice(0, 4)), ("b", slice(4, N))):
        path = folder / name / f"{shard}.parquet"
        path.parent.mkdir(exist_ok=True)
        block = values[rows].reshape(len(values[rows]), -1)
        write_family(path, name, len(names), np.arange(N)[rows], [block])
        files.append(path)
    return values, files


def test_features_are_tensor_after_tensor_in_the_order_of_the_representation(tmp_path):
    values, files = {}, []
    for name in ("quantiles", "norms", "moments"):
        values[name], paths = family(tmp_path, name, 4)
        files += paths
    wanted = columns("simple_stats")
    found = features(files, LAYOUT, [1, 3], wanted, False)
    assert (found.shape, found.dtype) == ((N, 10), np.float32)
    expected = [values[c.family][:, tensor, c.position] for tensor in (1, 3) for c in wanted]
    assert np.array_equal(found, np.stack(expected, axis=1))
    every = features(files, LAYOUT, LAYOUT.selected("all"), wanted, False).reshape(N, 4, 5)
    visual = features(files, LAYOUT, LAYOUT.selected("visual"), wanted, False)
    assert np.array_equal(visual, every[:, LAYOUT.selected("visual")].reshape(N, -1))


def test_families_of_pairs_are_selected_by_pair(tmp_path):
    values, files = family(tmp_path, "product", 2)
    for layers, pair in (("visual", 0), ("text", 1)):
        found = features(files, LAYOUT, LAYOUT.selected(layers), columns("product"), False)
        assert np.array_equal(found, values[:, pair])


@pytest.mark.parametrize("representation", ["spectral", "ensemble", "matrix_norms"])
def test_legacy_cond_is_one_where_the_tenth_singular_value_is_zero(tmp_path, representation):
    zero = np.arange(N * 4).reshape(N, 4) % 3 == 0
    files = []
    for name in FAMILIES:
        s10 = np.where(zero, 1e-11, 2e-10) if name == "spectral" else None
        files += family(tmp_path, name, 4, s10)[1]
    wanted, every = columns(representation), LAYOUT.selected("all")
    plain, legacy = (
        features(files, LAYOUT, every, wanted, on).reshape(N, 4, -1) for on in (False, True)
    )
    expected = plain.copy()
    for place, column in enumerate(wanted):
        if column.number == "cond":
            expected[zero, place] = 1
    assert np.array_equal(legacy, expected)
    assert np.array_equal(legacy, plain) is (representation == "matrix_norms")


def test_weights_are_the_columns_of_the_tensors_in_their_order(tmp_path):
    x = np.arange(5 * LAYOUT.width, dtype=np.float32).reshape(5, -1)
    files = [tmp_path / "a.npy", tmp_path / "b.npy"]
    for path, rows in zip(files, (x[:2], x[2:]), strict=True):
        np.save(path, rows)
    found = weights(files, LAYOUT, [0, 3])
    assert np.array_equal(found, x[:, [0, 1, 6, 7]])


def test_a_cell_has_classes_in_alphabetical_order_and_the_split_of_the_index(tmp_path):
    index = tmp_path / "index.parquet"
    split = ["train", "val", "train", "test", "train", "train", "train"]
    write_table(index, {"label": list("cabbacb"), "split": split})
    values, files = family(tmp_path, "entropy", 4)
    (job,) = (
        Jobs(section(), 42)
        .train("resident", "info_theoretic", [("info_theoretic", "text", 60)])
        .cells()
    )
    found = read_cell(job, LAYOUT, index, files)
    assert (found.classes, found.y.tolist()) == (["a", "b", "c"], [2, 0, 1, 1, 0, 2, 1])
    assert np.array_equal(found.x, values[:, 2:].reshape(N, -1))
    assert (found.parts["val"].tolist(), found.parts["test"].tolist()) == ([1], [3])
    assert set(found.parts["train"].tolist()) < {0, 2, 4, 5, 6}
    assert len(found.parts["train"]) == 3
