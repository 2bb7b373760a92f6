"""Tasks as files of every kind that users bring, and the stages that read them."""

import io
import struct
import tarfile
from pathlib import Path

import numpy as np
from pydantic import TypeAdapter

from scripts.tep_bp.data import sources
from scripts.tep_bp.data.store import Task, TaskSettings
from tests.stages import one_sentence, run_stage

SIZES = {"train-images": 3, "train-labels": 1, "t10k-images": 3, "t10k-labels": 1}


def settings(task: dict) -> TaskSettings:
    """The task as the configuration describes it."""
    return TypeAdapter(TaskSettings).validate_python(task)


def read(task: dict, split_seed: int, fetched: Path | None = None) -> Task:
    """The task, read and split."""
    return sources.read(settings(task), split_seed, *([fetched] if fetched else []))


def fingerprint(task: dict) -> str:
    """Digest of the task's own files."""
    return sources.fingerprint(settings(task))


def load(monkeypatch, task: dict, output: Path, seed: int = 0, fetched: tuple = ()) -> str | None:
    spec = {"task": task, "split_seed": seed}
    files = {"input": {"fetched": list(fetched)}, "output": {"task": output}}
    return run_stage(monkeypatch, "tep_bp/load.py", spec, **files)


def refusal(monkeypatch, tmp_path, task: dict, fetched: tuple = ()) -> str:
    out = tmp_path / "out"
    return one_sentence(load(monkeypatch, task, out / "task.npz", fetched=fetched), out)


def idx(array: np.ndarray) -> bytes:
    header = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
    return header + array.astype(np.uint8).tobytes()


def images(n: int, test: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Arrays in the shape of MNIST, 4 x 4 pixels, ten classes in turn."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (n + test, 4, 4))
    labels = np.arange(n + test) % 10
    return {
        "train-images": pixels[:n],
        "train-labels": labels[:n],
        "t10k-images": pixels[n:],
        "t10k-labels": labels[n:],
    }


def save_idx(folder: Path, arrays: dict, pack=lambda content: content, end: str = "") -> dict:
    folder.mkdir(exist_ok=True)
    for stem, array in arrays.items():
        (folder / f"{stem}-idx{SIZES[stem]}-ubyte{end}").write_bytes(pack(idx(array)))
    return {"kind": "mnist", "path": str(folder)}


def save_npz(path: Path, **arrays) -> dict:
    np.savez(path, **arrays)
    return {"kind": "npz", "path": str(path)}


def tarball(folder: Path, arrays: dict) -> Path:
    path = folder / "mnist.tgz"
    with tarfile.open(path, "w:gz") as archive:
        for stem, array in arrays.items():
            member = tarfile.TarInfo(f"package/data/{stem}-idx{SIZES[stem]}-ubyte")
            content = idx(array)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path
