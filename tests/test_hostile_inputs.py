"""Files that claim what cannot be, and values once taken in silence: one sentence each."""

import gzip
import io
import json
import os
import struct
import time
import warnings
import zipfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from scripts.lib import foreign, foreign_arrays
from scripts.lib.faults import LONGEST, LoadError, reason
from scripts.lora_ablation.data import sources
from tests import gpcm_files, lora_files, tep_files
from tests.lora_files import BLOCK, UP, save_adapter, save_folder, save_matrix, small, tensors

HUGE = 2**39  # numbers in an array: 4 TB of float64
X, Y = np.random.default_rng(0).normal(size=(60, 4)), np.arange(60) % 3


@pytest.fixture
def refused(monkeypatch, tmp_path):
    """Refusals of adapters, of answers and of tasks."""

    def adapters(source, **rows):
        return lora_files.refusal(monkeypatch, source, tmp_path, **rows)

    adapters.answers = lambda source: gpcm_files.refusal(monkeypatch, source, tmp_path)
    adapters.task = lambda task: tep_files.refusal(monkeypatch, tmp_path, task)
    return adapters


def npy(shape: tuple, content: bytes = b"12345678") -> bytes:
    """An .npy file of float64 whose header states a shape."""
    file = io.BytesIO()
    header = {"descr": "<f8", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
    return file.getvalue() + content


SHAPES = [(HUGE,), (2**62, 2**62), (-1, 8), (4, 4)]


@pytest.mark.parametrize("shape", SHAPES)
def test_an_array_larger_than_its_file_is_refused_before_room_is_made(shape, refused, tmp_path):
    source = save_matrix(small(), tmp_path / "source")
    (tmp_path / "w.npy").write_bytes(npy(shape))
    said = refused(source | {"path": str(tmp_path / "w.npy")})
    assert f"w.npy: states the shape {shape}" in said
    for packing in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        with zipfile.ZipFile(tmp_path / "a.npz", "w", packing) as archive:
            archive.writestr("x.npy", npy(shape))
            archive.writestr("y.npy", npy((1,)))
        said = refused.task({"kind": "npz", "path": str(tmp_path / "a.npz")})
        assert f"a.npz: array x: states the shape {shape}" in said


def test_a_packed_array_is_read_up_to_a_declared_size_only(refused, tmp_path, monkeypatch):
    np.savez_compressed(tmp_path / "a.npz", x=np.zeros((1000, 100)), y=np.arange(1000) % 2)
    monkeypatch.setattr(foreign, "MOST", 100_000)
    said = refused.task({"kind": "npz", "path": str(tmp_path / "a.npz")})
    assert "a.npz: array x: states 800128 bytes, and at most" in said


def test_of_an_archive_with_one_name_twice_nothing_is_guessed(refused, tmp_path):
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in ("x", "y", "x"):
            archive.writestr(f"{name}.npy", npy((1,)))
    said = refused.task({"kind": "npz", "path": str(tmp_path / "a.npz")})
    assert "has the array 'x' 2 times" in said


def test_of_a_gz_bomb_no_more_is_unpacked_than_its_header_states(refused, tmp_path, monkeypatch):
    task = tep_files.save_idx(tmp_path / "a", tep_files.images(100, 50), gzip.compress, ".gz")
    path = tmp_path / "a/train-images-idx3-ubyte.gz"
    content = gzip.decompress(path.read_bytes())
    path.write_bytes(gzip.compress(content + bytes(50_000_000), 1))
    monkeypatch.setattr(gzip, "decompress", None)
    assert "has 1601 bytes after its header or more; expected 100 x 4 x 4" in refused.task(task)
    sizes = struct.pack(">HBB3I", 0, 8, 3, 2**20, 2**10, 2**10)
    path.write_bytes(gzip.compress(sizes))
    assert "states 1099511627776 bytes, and at most" in refused.task(task)


def test_a_pipe_is_no_file(refused, tmp_path):
    os.mkfifo(tmp_path / "a.npz")
    os.mkfifo(tmp_path / "a.csv")
    assert "it is no file" in refused.task({"kind": "npz", "path": str(tmp_path / "a.npz")})
    assert "it is no file" in refused.answers({"kind": "table", "path": str(tmp_path / "a.csv")})


def test_a_footer_cannot_state_any_number_of_adapters(monkeypatch, tmp_path):
    source = lora_files.save_parquet(small(), tmp_path / "a.parquet")
    monkeypatch.setattr(sources, "MOST", 5)
    with pytest.raises(LoadError, match="states 6 adapters; at most 5"):
        lora_files.count(source)


# What stands in a configuration (Python's words for JSON's NaN and Infinity are read too), and what
# is said of it.
CONFIGS = {
    "a list": ("[1]", ["adapter_config.json: is a list"]),
    "a number": ("7", ["is a int", "lora_alpha"]),
    "alpha in words": ('{"lora_alpha": "16"}', ["lora_alpha is '16'", "finite number above 0"]),
    "alpha NaN": ('{"lora_alpha": NaN}', ["lora_alpha is nan"]),
    "alpha infinite": ('{"lora_alpha": Infinity}', ["lora_alpha is inf"]),
    "alpha 0": ('{"lora_alpha": 0}', ["lora_alpha is 0"]),
    "alpha negative": ('{"lora_alpha": -4}', ["lora_alpha is -4"]),
    "alpha true": ('{"lora_alpha": true}', ["lora_alpha is True"]),
    "alpha a list": ('{"lora_alpha": [4]}', ["lora_alpha is [4]"]),
    "alpha beyond floats": ('{"lora_alpha": 1' + "0" * 400 + "}", ["lora_alpha", "too large"]),
    "alpha twice": ('{"lora_alpha": 4, "lora_alpha": 8}', ["the key 'lora_alpha' twice"]),
    "a broken pattern": ('{"alpha_pattern": {"to_q(": 4}}', ["pattern 'to_q('", "unterminated"]),
    "patterns in a list": ('{"alpha_pattern": ["to_q"]}', ["alpha_pattern is a list"]),
    "a pattern without number": ('{"alpha_pattern": {"to_q": null}}', ["to_q is None"]),
    "a pattern for ever": ('{"alpha_pattern": {"((u|.)+)+x": 4}}', ["no repeated group"]),
    "many repeats": ('{"alpha_pattern": {"' + ".*" * 20 + 'x": 4}}', ["at most 4 repeats"]),
    "a flag in words": ('{"use_rslora": "false"}', ["use_rslora is 'false'", "true or false"]),
    "deep nesting": ("[" * 100_000, ["nested too deeply"]),
}


@pytest.mark.parametrize("beside", [True, False])
@pytest.mark.parametrize("fault", CONFIGS)
def test_a_scale_that_is_none_is_refused(fault, beside, refused, tmp_path):
    (words, said), shard = CONFIGS[fault], small()
    source = save_folder(shard, tmp_path / "source")
    path = tmp_path / "source" / shard.names[1]
    if beside:
        (path.parent / "adapter_config.json").write_text(words)
    else:
        found = tensors(shard.matrix[1], shard.layout)
        save_adapter(path, found, {"lora_adapter_metadata": words})
    start = time.perf_counter()
    sentence = refused(source)
    assert time.perf_counter() - start < 5
    assert shard.names[1].split("/")[0] in sentence
    said = said if beside else [part.replace("adapter_config.json: ", "") for part in said]
    assert all(part in sentence for part in said), sentence


@pytest.mark.parametrize("model", ["", "unet."])
def test_scales_that_are_fine_are_read_as_before(model, tmp_path):
    shard, config = small(1), {"lora_alpha": 8, "alpha_pattern": {"attn1.to_q": 1.0}, "r": None}
    source = save_folder(shard, tmp_path)
    words = json.dumps({model + key: value for key, value in config.items()})
    save_adapter(tmp_path / shard.names[0], tensors(shard.matrix[0], shard.layout),
                 {"lora_adapter_metadata": words})  # fmt: skip
    assert lora_files.read_all(source, 1).scales.tolist() == [[0.5, 4.0]]


@pytest.mark.parametrize("alpha", [0, -1, np.nan, np.inf])
def test_an_alpha_tensor_that_is_no_scale_is_refused(alpha, refused, tmp_path):
    shard = small()
    source = save_folder(shard, tmp_path / "source")
    found = tensors(shard.matrix[1], shard.layout) | {
        f"{BLOCK}attn1.to_q.alpha": np.array(alpha, "f4")
    }
    save_adapter(tmp_path / "source" / shard.names[1], found)
    assert "expected one finite number above 0" in refused(source)


GOOD = "bird/00.safetensors"
LABELS = {
    "a name of 5,000 letters": (f"name,label\n{'a' * 5000},bird\n", ["line 2: names 'aaa", "long"]),
    "a column twice": (f"name,label,label\n{GOOD},a,b\n", ["column 'label' 2 times"]),
    "a field too many": (f"name,label\n{GOOD},a,b\n", ["line 2 has more fields"]),
    "a file by two names": (f"name,label\n{GOOD},a\nbird/00,b\n", ["line 3", "as line 2 does"]),
    "out of the folder": ("name,label\n../out,a\n", ["no adapter under"]),
    "an absolute path": ("name,label\n/etc/passwd,a\n", ["no adapter under"]),
    "a quote without end": (f'name,label\n{GOOD},"a\n', ["cannot be read", "unexpected end"]),
    "NUL": ("name,label\na\0b,bird\n", ["no adapter under", "\\x00"]),
    "two lines in a name": ('name,label\n"a\nb",bird\n', ["no adapter under"]),
}


@pytest.mark.parametrize("fault", LABELS)
def test_a_hostile_labels_file_is_refused(fault, refused, tmp_path):
    words, said = LABELS[fault]
    source = save_folder(small(), tmp_path / "source")
    save_adapter(tmp_path / "out.safetensors", tensors(small().matrix[0], small().layout))
    (tmp_path / "source/labels.csv").write_text(words)
    sentence = refused(source, stop=1)
    assert all(part in sentence for part in ["labels.csv", *said]), sentence


def column(name, values):
    def change(table):
        at = table.column_names.index(name)
        return table.set_column(at, name, pa.array(values))

    return change


def again(name):
    return lambda table: table.append_column(name, table[name])


STRUCTS = [{"a": 1}] * 6
TABLES = {
    "labels in lists": (column("category_label", [["a"]] * 6), ["'category_label' holds list"]),
    "labels as structs": (column("category_label", STRUCTS), ["'category_label' holds struct"]),
    "labels as bytes": (column("category_label", [b"\xff"] * 6), ["holds binary", "text or"]),
    "names as structs": (column("folder", STRUCTS), ["'folder' holds struct"]),
    "groups in lists": (column("category_name", [["a"]] * 6), ["'category_name' holds list"]),
    "a label NaN": (column("category_label", [1.0, np.nan] * 3), ["label is null"]),
    "the label twice": (again("category_label"), ["'category_label' is there twice"]),
    "a weight twice": (again(f"{BLOCK}attn1.to_q{UP}"), ["attn1.to_q", "expected one"]),
    "a weight as a struct": (column(f"{BLOCK}attn1.to_q{UP}", STRUCTS), ["expected lists of fl"]),
    "a weight as bytes": (column(f"{BLOCK}attn1.to_q{UP}", [b"a"] * 6), ["expected lists of fl"]),
}


@pytest.mark.parametrize("fault", TABLES)
def test_a_table_of_other_types_is_refused(fault, refused, tmp_path):
    change, said = TABLES[fault]
    pq.write_table(change(lora_files.table(small())), tmp_path / "a.parquet")
    sentence = refused({"kind": "parquet", "path": str(tmp_path / "a.parquet")})
    assert all(part in sentence for part in said), sentence


@pytest.mark.parametrize("rank", [0, -2])
def test_a_rank_that_is_none_is_refused(rank, refused, tmp_path):
    table = lora_files.table(small(), flat=True).append_column("rank", [[rank] * 6])
    pq.write_table(table, tmp_path / "a.parquet")
    assert f"is {rank} for the first" in refused(
        {"kind": "parquet", "path": str(tmp_path / "a.parquet")}
    )


def test_groups_that_pandas_does_not_know_are_no_group_of_their_own(tmp_path):
    change = column("category_name", [1.0, np.nan] * 3)
    pq.write_table(change(lora_files.table(small())), tmp_path / "a.parquet")
    found = lora_files.read_all({"kind": "parquet", "path": str(tmp_path / "a.parquet")}, 6)
    assert found.groups == ["1.0", None] * 3


@pytest.mark.parametrize(
    ("shape", "said"),
    [("[2.7, 6]", "2.7 is no whole number"), ("[true, 6]", "True is no whole number"),
     ("[2, 6, 1]", "too many values"), ("[2, 99999999999999999]", "expected [adapters")],
)  # fmt: skip
def test_a_size_that_is_none_is_refused(shape, said, refused, tmp_path):
    source = save_matrix(small(), tmp_path / "source")
    key = f"{BLOCK}attn1.to_q.lora.down.weight"
    words = (tmp_path / "source/dimensions.json").read_text()
    (tmp_path / "source/dimensions.json").write_text(
        words.replace(f'"{key}": [2, 6]', f'"{key}": {shape}')
    )
    assert said in refused(source)
    (tmp_path / "source/dimensions.json").write_text(f'{{"{key}": [2, 6], "{key}": [2, 6]}}')
    assert "twice" in refused(source)


def test_a_tensor_that_is_no_matrix_of_floats_is_refused(refused, tmp_path):
    source = save_matrix(small(), tmp_path / "source")
    values = torch.from_numpy(np.load(source["path"]))
    for wrong in (values.int(), values.to_sparse(), values + 1j, values.bool(), values.to("meta")):
        torch.save(wrong, tmp_path / "w.pt")
        assert "expected floating point" in refused(source | {"path": str(tmp_path / "w.pt")})


ROWS = {"student": ["a", "a"], "time": [1, 2], "item": ["x", "y"], "response": [0, 1]}


@pytest.mark.parametrize("role", ROWS)
@pytest.mark.parametrize("values", [[[1], [2]], [{"a": 1}, {"a": 2}], [b"\xff", b"\xfe"]])
def test_answers_in_columns_of_lists_structs_or_bytes_are_refused(role, values, refused, tmp_path):
    pq.write_table(pa.table(ROWS | {role: values}), tmp_path / "a.parquet")
    said = refused.answers({"kind": "table", "path": str(tmp_path / "a.parquet")})
    assert f"column {role!r} holds" in said


@pytest.mark.parametrize("role", ROWS)
def test_a_column_twice_is_refused_whichever_comes_first(role, refused, tmp_path):
    table = pa.table(ROWS)
    pq.write_table(table.append_column(role, table[role]), tmp_path / "a.parquet")
    header, rows = [*ROWS, role], [[*row, row[-1]] for row in zip(*ROWS.values(), strict=True)]
    for source in (
        {"kind": "table", "path": str(tmp_path / "a.parquet")},
        gpcm_files.save_csv(tmp_path / "a.csv", rows, header),
    ):
        assert f"has the column {role!r} of the {role} 2 times" in refused.answers(source)


def test_a_column_twice_that_nobody_asks_for_is_no_fault(tmp_path):
    table = pa.table(ROWS | {"note": ["", ""]})
    pq.write_table(table.append_column("note", table["note"]), tmp_path / "a.parquet")
    assert len(gpcm_files.read({"kind": "table", "path": str(tmp_path / "a.parquet")}, 0).t) == 2


def test_texts_that_are_no_utf8_are_refused(refused, tmp_path):
    names = pa.StringArray.from_buffers(
        2, pa.py_buffer(np.array([0, 1, 2], np.int32)), pa.py_buffer(b"\xff\xfe")
    )
    pq.write_table(pa.table(ROWS | {"student": names}), tmp_path / "a.parquet")
    assert "UTF8" in refused.answers({"kind": "table", "path": str(tmp_path / "a.parquet")})
    (tmp_path / "a.csv").write_bytes("student,time,item,response\nJosé,1,x,0\n".encode("latin-1"))
    sentence = refused.answers({"kind": "table", "path": str(tmp_path / "a.csv")})
    assert "line 2 has the byte 0xe9, which is no UTF-8); save it as UTF-8" in sentence


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["theta", "alpha", "beta"])
def test_true_parameters_that_are_no_numbers_are_refused(name, value, refused, tmp_path):
    found = gpcm_files.read(gpcm_files.TINY, 42)
    table, key = (found.students, name) if name == "theta" else (found.items, name)
    table.loc[1, "beta_1" if name == "beta" else key] = value
    source = gpcm_files.save_three_lines(found, tmp_path)
    source["truth"] = gpcm_files.save_truth(found, tmp_path / "truth.json")
    assert f"{name} holds {value}; expected finite numbers" in refused.answers(source)


def test_a_true_slope_below_zero_is_refused(refused, tmp_path):
    found = gpcm_files.read(gpcm_files.TINY, 42)
    found.items.loc[1, "alpha"] = -0.5
    source = gpcm_files.save_three_lines(found, tmp_path)
    source["truth"] = gpcm_files.save_truth(found, tmp_path / "truth.json")
    assert "alpha holds -0.5; expected slopes above 0" in refused.answers(source)


@pytest.mark.parametrize("y_test", [Y.astype(str), Y.astype("datetime64[D]"), Y * 1.0])
def test_test_classes_of_another_type_are_refused(y_test, refused, tmp_path):
    task = tep_files.save_npz(tmp_path / "a.npz", x=X, y=Y, x_test=X, y_test=y_test)
    assert "expected (N,) of whole numbers" in refused.task(task)


def test_a_sentence_is_one_line_of_bounded_length_whatever_a_name_holds():
    said = str(LoadError(f"a\nb\x00\ud800{'c' * 10_000}: is wrong."))
    assert said.startswith("a\\nb\\x00\\ud800ccc")
    assert said.endswith(": is wrong.")
    assert len(said) <= LONGEST
    said.encode()


def test_what_libraries_raise_is_a_clause():
    assert reason(MemoryError()) == "not enough memory"
    assert reason(FileNotFoundError(2, "No such file or directory", "/a/b")) == (
        "No such file or directory"
    )
    assert reason(ZeroDivisionError()) == "ZeroDivisionError"
    assert reason(ValueError("One.\n Two. ")) == "One; Two"
    assert len(reason(ValueError("x" * 5000))) < 250


def test_pickles_are_never_opened(tmp_path):
    np.save(tmp_path / "a.npy", np.array([{}], object), allow_pickle=True)
    with pytest.raises(LoadError, match="Object arrays cannot be loaded"):
        foreign_arrays.mapped(tmp_path / "a.npy")
