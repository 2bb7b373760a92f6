"""A data source that is not what it should be is refused in one sentence: where and why."""

import csv
import pickle
import warnings

import numpy as np
import pytest
import torch

from scripts.lora_ablation.data.layout import DOWN, UP
from tests.lora_files import (
    BLOCK,
    generated_source,
    refusal,
    save_adapter,
    save_folder,
    save_matrix,
    small,
    tensors,
)

QUERY = f"{BLOCK}attn1.to_q"


@pytest.fixture
def refused(monkeypatch, tmp_path):
    return lambda source, **rows: refusal(monkeypatch, source, tmp_path, **rows)


def changed(shard, change):
    """The second adapter's tensors after `change`."""
    found = tensors(shard.matrix[1].copy(), shard.layout)
    change(found)
    return found


def without(name):
    return lambda found: found.pop(name)


def extra(found):
    found |= {
        f"{BLOCK}attn1.to_k{DOWN}": np.ones((2, 6)),
        f"{BLOCK}attn1.to_k{UP}": np.ones((8, 2)),
    }


def pair(down, up):
    def change(found):
        found |= {QUERY + DOWN: np.ones(down, np.float32), QUERY + UP: np.ones(up, np.float32)}

    return change


def value(number):
    def change(found):
        found[QUERY + UP][3, 1] = number

    return change


def lose_a_pair(found):
    found.pop(QUERY + DOWN)
    found.pop(QUERY + UP)


BROKEN = {
    "down without up": (without(QUERY + UP), [QUERY, "no up factor"]),
    "up without down": (without(QUERY + DOWN), [QUERY, "no down factor"]),
    "a missing layer": (lose_a_pair, [QUERY + DOWN, "missing"]),
    "an extra layer": (extra, ["attn1.to_k", "only the layers of bird/00.safetensors"]),
    "another rank": (pair((3, 6), (8, 3)), [QUERY + DOWN, "(3, 6)", "expected (2, 6)"]),
    "another width": (pair((2, 5), (8, 2)), [QUERY + DOWN, "(2, 5)", "expected (2, 6)"]),
    "two ranks in a pair": (pair((2, 6), (8, 3)), [QUERY, "one rank"]),
    "a vector": (pair((6,), (8, 2)), [QUERY + DOWN, "(6,)"]),
    "NaN": (value(np.nan), [QUERY + UP, "nan", "finite"]),
    "infinity": (value(-np.inf), [QUERY + UP, "-inf", "finite"]),
    "no LoRA": (lambda found: found.update({"conv_in.bias": np.ones(3)}), ["conv_in.bias"]),
    "integers": (lambda found: found.update({QUERY + UP: np.ones((8, 2), int)}), ["I64", "BF16"]),
    "the same layer twice": (
        lambda found: found.update(
            {f"{QUERY}.lora_A.weight".removeprefix("unet."): np.ones((2, 6))}
        ),
        [QUERY + DOWN, "twice"],
    ),
    "an alpha that is no number": (
        lambda found: found.update({f"{QUERY}.alpha": np.ones(2)}),
        [f"{QUERY}.alpha", "one finite number"],
    ),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_a_faulty_adapter_in_a_folder_is_named_with_its_layer(fault, refused, tmp_path):
    shard, (change, said) = small(), BROKEN[fault]
    source = save_folder(shard, tmp_path / "source")
    save_adapter(tmp_path / "source" / shard.names[1], changed(shard, change))
    sentence = refused(source)
    assert all(part in sentence for part in [shard.names[1], *said]), sentence


@pytest.mark.parametrize("fault", ["another rank", "a missing layer"])
def test_the_first_adapter_of_the_source_is_what_later_shards_must_match(fault, refused, tmp_path):
    shard, (change, said) = small(), BROKEN[fault]
    source = save_folder(shard, tmp_path / "source")
    save_adapter(tmp_path / "source" / shard.names[1], changed(shard, change))
    sentence = refused(source, start=1, stop=2)
    assert all(part in sentence for part in [shard.names[1], shard.names[0], *said])


class Bomb:
    """A pickle that leaves a trace if it is ever loaded."""

    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return (open, (str(self.trace), "w"))


@pytest.mark.parametrize("fault", ["truncated", "cut in its header", "empty", "pickle", "torch"])
def test_a_file_that_is_no_safetensors_file_is_named_and_never_unpickled(fault, refused, tmp_path):
    shard = small()
    source = save_folder(shard, tmp_path / "source")
    path, trace = tmp_path / "source" / shard.names[1], tmp_path / "trace"
    whole = path.read_bytes()
    if fault == "torch":
        torch.save({"weights": Bomb(trace)}, path)
    else:
        path.write_bytes(
            {
                "truncated": whole[:-5],
                "cut in its header": whole[:40],
                "empty": b"",
                "pickle": pickle.dumps(Bomb(trace)),
            }[fault]
        )
    sentence = refused(source)
    assert "not readable as a safetensors file" in sentence
    assert shard.names[1] in sentence
    assert not trace.exists()


def test_a_pickled_matrix_is_refused_and_never_unpickled(refused, tmp_path):
    source, trace = save_matrix(small(), tmp_path / "source"), tmp_path / "trace"
    torch.save(Bomb(trace), tmp_path / "w.pt")
    np.save(tmp_path / "w.npy", np.array([Bomb(trace)], object), allow_pickle=True)
    for name in ("w.pt", "w.npy"):
        assert "cannot be read" in refused(source | {"path": str(tmp_path / name)})
    assert not trace.exists()


def test_rows_beyond_the_source_are_refused(refused):
    assert "the source has 3" in refused(generated_source(3), start=2, stop=4)


def test_a_folder_without_a_label_for_an_adapter_is_refused(refused, tmp_path):
    shard = small(2)
    source = save_folder(shard, tmp_path / "source")
    assert "does not state 'kind'; it states class" in refused(source | {"labels": "header:kind"})
    save_adapter(tmp_path / "source/a.safetensors", tensors(shard.matrix[0], shard.layout))
    assert "no folder" in refused(source | {"labels": "folder"})


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([["file", "label"], ["a", "b"]], "no column 'name'"),
        ([["name", "label"]], "no labels"),
        ([["name", "label"], ["bird/00.safetensors", ""]], "line 2 lacks"),
        ([["name", "label"], ["bird/99", "bird"]], "'bird/99', which is no adapter"),
        (
            [["name", "label"], *[["bird/00.safetensors", "bird"]] * 2],
            "line 3 names 'bird/00.safetensors', as line 2 does",
        ),
    ],
)
def test_a_faulty_labels_file_is_refused_with_its_line(lines, said, refused, tmp_path):
    source = save_folder(small(), tmp_path / "source")
    with (tmp_path / "source/labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows(lines)
    sentence = refused(source, stop=1)
    assert said in sentence
    assert "labels.csv" in sentence


def test_a_labels_file_that_is_not_there_is_named(refused, tmp_path):
    source = save_folder(small(), tmp_path / "source") | {"labels": str(tmp_path / "none.csv")}
    assert "none.csv: the labels cannot be read" in refused(source)


def test_a_matrix_must_fit_its_dimensions_and_its_labels(refused, tmp_path):
    source = save_matrix(small(), tmp_path / "source")
    matrix = np.load(source["path"])
    for wrong, said in [
        (matrix[:, 1:], f"expected [adapters, {matrix.shape[1]}]"),
        (matrix[0], "expected [adapters"),
        (matrix[:-1], "has 5 rows; expected 6"),
        (matrix.astype(int), "floating point"),
    ]:
        np.save(tmp_path / "wrong.npy", wrong)
        assert said in refused(source | {"path": str(tmp_path / "wrong.npy")})
    assert "expected a file that ends in .npy, .safetensors" in refused(
        source | {"path": str(tmp_path / "wrong.bin")}
    )
    assert "cannot be read" in refused(source | {"path": str(tmp_path / "nowhere.npy")})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "no table of dimensions"),
        (f'{{"a.weight": [1, 2], "{QUERY}{UP}": [8, 2]}}', "'a.weight'"),
        ('{"a.weight": [1, 2]}', "expected [adapters, 2]"),
        (f'{{"{QUERY}{UP}": [8, 2]}}', "expected [adapters, 16]"),
        (f'{{"{QUERY}{UP}": 8}}', "no table of dimensions"),
    ],
)
def test_faulty_dimensions_are_refused(text, said, refused, tmp_path):
    source = save_matrix(small(), tmp_path / "source")
    (tmp_path / "source/dimensions.json").write_text(text)
    assert said in refused(source)


def test_a_nan_in_a_matrix_is_named_with_adapter_and_layer(refused, tmp_path):
    shard = small()
    shard.matrix[1, shard.layout.offsets[2]] = np.nan
    sentence = refused(save_matrix(shard, tmp_path / "source"))
    assert shard.names[1] in sentence
    assert shard.layout.names[2] in sentence


def test_huge_finite_numbers_are_no_fault(tmp_path):
    from tests.lora_files import read_all, same_bits

    shard = small()
    shard.matrix[:] = 3e38
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert same_bits(read_all(save_matrix(shard, tmp_path), 6).matrix, shard.matrix)
