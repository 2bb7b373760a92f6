"""Whatever stands in a user's file, the loader gives data or one sentence: never another exception.

For each kind of file a small good one is damaged in some forty ways. A damaged file may be read as
the same data (what was changed is not looked at), as other valid data (a flip inside plain values,
a text cut at the end of a line), or is refused in one sentence.
"""

import gzip
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import safetensors.numpy
import torch

from scripts.lib.faults import LoadError
from scripts.lora_ablation.data.tabular import save_nested
from tests import gpcm_files, lora_files, tep_files
from tests import tep_files as tasks

SMALL = lora_files.small()
PEFT = '{"r": 2, "lora_alpha": 8, "alpha_pattern": {"attn1.to_q": 4}, "use_rslora": false}'
SECOND = re.compile(r"\. [A-Z]")
EXACT = ("binary", "packed")  # of these files a part is no file; of a text it may be one


def read_adapters(source: dict) -> list:
    n = lora_files.count(source)
    lora_files.fingerprints(source, [(0, n)])
    shard = lora_files.read(source, 42, 0, min(n, 6))
    return [shard.matrix.tobytes(), shard.names, shard.labels, shard.groups, shard.scales.tobytes()]


def read_answers(source: dict) -> list:
    gpcm_files.fingerprint(source)
    found = gpcm_files.read(source, 42)
    columns = [found.student, found.question, found.response]
    return [column.tobytes() for column in columns] + [repr(found.items), repr(found.students)]


def read_task(task: dict) -> list:
    tasks.fingerprint(task)
    found = tasks.read(task, 0)
    return [found.x.tobytes(), found.y.tobytes()]


def with_configs(folder: Path) -> dict:
    source = lora_files.save_folder(SMALL, folder, lora_files.peft)
    for path in folder.glob("*/*.safetensors"):
        own = path.parent / path.stem / "adapter_model.safetensors"
        own.parent.mkdir()
        path.rename(own)
        (own.parent / "adapter_config.json").write_text(PEFT)
    text = (folder / "labels.csv").read_text().replace(".safetensors", "")
    (folder / "labels.csv").write_text(text)
    return source


def matrix(folder: Path, name: str, save: Callable) -> dict:
    source = lora_files.save_matrix(SMALL, folder)
    save(np.load(source["path"]), folder / name)
    return source | {"path": str(folder / name)}


def saved_dataset(folder: Path) -> dict:
    save_nested(SMALL.matrix, SMALL.layout, SMALL.labels, folder, SMALL.groups)
    return {"kind": "datasets", "path": str(folder)}


def table_of_answers(folder: Path, ending: str) -> dict:
    rows = [(f"s{i % 4}", i, f"q{i % 3}", i % 2) for i in range(24)]
    if ending == ".csv":
        return gpcm_files.save_csv(folder / "a.csv", rows)
    names = ("student", "time", "item", "response")
    columns = dict(zip(names, zip(*rows, strict=True), strict=True))
    pq.write_table(pa.table({name: list(column) for name, column in columns.items()}),
                   folder / "a.parquet")  # fmt: skip
    return {"kind": "table", "path": str(folder / "a.parquet")}


def three_lines(folder: Path) -> dict:
    found = gpcm_files.read(gpcm_files.TINY, 42)
    source = gpcm_files.save_three_lines(found, folder)
    return source | {"truth": gpcm_files.save_truth(found, folder / "truth.json")}


def task_arrays(folder: Path, save=np.savez) -> dict:
    x = np.random.default_rng(0).normal(size=(60, 4))
    save(folder / "mine.npz", x=x, y=np.arange(60) % 3)
    return {"kind": "npz", "path": str(folder / "mine.npz")}


def idx(folder: Path, pack: Callable, end: str) -> dict:
    return tep_files.save_idx(folder, tep_files.images(100, 50), pack, end)


def first(pattern: str) -> Callable:
    return lambda folder: next(iter(sorted(folder.rglob(pattern))))


# name: (sort of file, reads a source, writes a good one into a folder, which file is damaged).
KINDS = {
    "adapter": ("binary", read_adapters, lambda f: lora_files.save_folder(SMALL, f),
                first("01.safetensors")),
    "labels": ("text", read_adapters, lambda f: lora_files.save_folder(SMALL, f),
               first("labels.csv")),
    "peft config": ("text", read_adapters, with_configs, first("adapter_config.json")),
    "npy": ("binary", read_adapters, lambda f: lora_files.save_matrix(SMALL, f),
            first("weights.npy")),
    "dimensions": ("text", read_adapters, lambda f: lora_files.save_matrix(SMALL, f),
                   first("dimensions.json")),
    "pt": ("packed", read_adapters,
           lambda f: matrix(f, "w.pt", lambda a, p: torch.save(torch.from_numpy(a), p)),
           first("w.pt")),
    "safetensors matrix": (
        "binary", read_adapters,
        lambda f: matrix(f, "w.safetensors",
                         lambda a, p: safetensors.numpy.save_file({"w": a}, p)),
        first("w.safetensors")),
    "parquet": ("binary", read_adapters, lambda f: lora_files.save_parquet(SMALL, f / "a.parquet"),
                first("a.parquet")),
    "dataset state": ("text", read_adapters, saved_dataset, first("state.json")),
    "dataset info": ("text", read_adapters, saved_dataset, first("dataset_info.json")),
    "arrow": ("binary", read_adapters, saved_dataset, first("*.arrow")),
    "answers csv": ("text", read_answers, lambda f: table_of_answers(f, ".csv"), first("a.csv")),
    "answers parquet": ("binary", read_answers, lambda f: table_of_answers(f, ".parquet"),
                        first("a.parquet")),
    "three lines": ("text", read_answers, three_lines, first("data.txt")),
    "truth": ("text", read_answers, three_lines, first("truth.json")),
    "npz": ("packed", read_task, task_arrays, first("mine.npz")),
    "packed npz": ("packed", read_task, lambda f: task_arrays(f, np.savez_compressed),
                   first("mine.npz")),
    "idx": ("binary", read_task, lambda f: idx(f, lambda c: c, ""), first("train-images*")),
    "idx labels": ("binary", read_task, lambda f: idx(f, lambda c: c, ""), first("train-labels*")),
    "gz": ("packed", read_task, lambda f: idx(f, gzip.compress, ".gz"), first("train-images*")),
}  # fmt: skip
PLACES = (0, 1, 2, 4, 9, 60, 0.02, 0.1, 0.25, 0.5, 0.75, 0.9, 0.98, -60, -9, -8, -5, -2, -1)


def at(content: bytes, place: float) -> int:
    """A position in the content: bytes from either end, or a fraction of it."""
    n = len(content)
    return int(place * n) if 0 < abs(place) < 1 else int(max(0, n + place if place < 0 else place))


def cut(place: float) -> Callable:
    return lambda content: content[: at(content, place)]


def flipped(place: float, bits: int) -> Callable:
    def damage(content: bytes) -> bytes:
        i = min(at(content, place), len(content) - 1)
        return content[:i] + bytes([content[i] ^ bits]) + content[i + 1 :]

    return damage


def zeroed(place: float) -> Callable:
    def damage(content: bytes) -> bytes:
        i = at(content, place)
        return content[:i] + bytes(len(content[i : i + 12])) + content[i + 12 :]

    return damage


OTHERS = {
    "text": b"hello, world\n",
    "no utf-8": b"\xff\xfe\xfdname,label\n" * 9,
    "a list": b"[1, 2, 3]",
    "a number": b"1",
    "deep nesting": b"[" * 100_000,
    "deep objects": b'{"a":' * 100_000,
    "a pickle": b"\x80\x04\x95\x0b\x00\x00\x00\x00\x00\x00\x00\x8c\x07builtins\x94.",
    "an empty zip": b"PK\x05\x06" + bytes(18),
    "a gz": gzip.compress(b"hello"),
    "between PAR1": b"PAR1" + b"\xff" * 60 + b"\x20\x00\x00\x00PAR1",
    "a huge integer": b'{"lora_alpha": ' + b"9" * 5000 + b"}",
    "a long line": b"a" * 200_000,
    "NUL": bytes(1000),
}
DAMAGES = {f"cut at {place}": cut(place) for place in PLACES}
DAMAGES |= {f"{place} ^ 255": flipped(place, 255) for place in PLACES}
DAMAGES |= {f"{place} ^ 16": flipped(place, 16) for place in PLACES}
DAMAGES |= {f"12 zeros at {place}": zeroed(place) for place in PLACES}
DAMAGES |= {name: lambda content, other=other: other for name, other in OTHERS.items()}


def outcome(read: Callable, source: dict) -> tuple[str, object]:
    try:
        return "data", read(source)
    except LoadError as error:
        sentence = str(error)
        # A flipped byte may put a blank behind a dot in a name; a second sentence starts anew.
        good = sentence.endswith(".") and "\n" not in sentence and not SECOND.search(sentence)
        short = len(sentence) < 1200
        return ("refused" if good and short else "garbled"), sentence


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_file_is_data_or_one_sentence(kind, tmp_path):
    sort, read, write, victim = KINDS[kind]
    (tmp_path / "good").mkdir()
    source = write(tmp_path / "good")
    path = victim(tmp_path / "good")
    content, good = path.read_bytes(), read(source)
    wrong = {}
    for name, damage in DAMAGES.items():
        path.write_bytes(damage(content))
        try:
            found, told = outcome(read, source)
        except BaseException as error:
            wrong[name] = f"{type(error).__name__}: {str(error)[:200]}"
            continue
        if found == "garbled":
            wrong[name] = told
        part = name.startswith("cut") and path.stat().st_size < len(content)
        if sort in EXACT and found == "data" and told != good and (part or name in OTHERS):
            wrong[name] = "read as other data"
        if sort == "packed" and kind != "pt" and found == "data" and told != good:
            wrong[name] = "read as other data in spite of a check sum"
    path.unlink()
    for name, make in {"a folder": Path.mkdir, "nothing there": lambda path: None}.items():
        make(path)
        try:
            found, told = outcome(read, source)
        except Exception as error:
            found, told = "raised", f"{type(error).__name__}: {str(error)[:200]}"
        # A configuration beside an adapter may be absent.
        if found != "refused" and kind != "peft config":
            wrong[name] = told
        shutil.rmtree(path, ignore_errors=True)
    assert not wrong, "\n".join(f"{name}: {said}" for name, said in wrong.items())
