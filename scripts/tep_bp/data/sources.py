"""The one door to tasks: reads, or draws, and splits a task of any kind.

Small kinds are here: scikit-learn's digits, arrays that a user brings (.npz), and Boolean functions
of random bits (xor of two, parity of many). MNIST is in mnist.py.
"""

from pathlib import Path

import numpy as np

from scripts.lib.faults import LoadError
from scripts.lib.foreign import foreign, marks
from scripts.lib.foreign_arrays import arrays
from scripts.lib.seeds import numpy_rng
from scripts.lib.spec import digest
from scripts.tep_bp.data import mnist
from scripts.tep_bp.data.samples import Samples, samples, with_test_set
from scripts.tep_bp.data.split import split
from scripts.tep_bp.data.store import Task

# Keys of each kind of task besides `kind`: those it needs, and those it may have.
TASK_KEYS = {
    "digits": ((), ()),
    "mnist": ((), ("path",)),
    "xor": ((), ("samples",)),
    "parity": (("bits",), ("samples",)),
    "npz": (("path",), ()),
}
MOST_BITS, MOST_SAMPLES = 64, 1_000_000  # of generated tasks


def read(task: dict, split_seed: int, fetched: Path | None = None) -> Task:
    """A task with its parts; LoadError (one sentence) at the first fault of what is read.

    `task` has the keys of its kind: the configuration is checked before the first job.
    `split_seed` draws the parts, and the bits of xor and parity. `fetched` is the file that
    `fetch.py` brought, of a task that is `downloaded`.
    """
    loaded = _samples(task, split_seed, fetched)
    classes = int(loaded.y.max()) + 1
    return Task(loaded.name, loaded.x, loaded.y, classes, split(loaded, split_seed))


def downloaded(task: dict) -> bool:
    """Whether the task is read from a file that has to be fetched first."""
    return task.get("kind") == "mnist" and "path" not in task


def fingerprint(task: dict) -> str:
    """Digest of the local files of a task (`marks`); "" if it has none.

    LoadError if they are missing.
    """
    if "path" not in task:
        return ""
    path = Path(task["path"])
    with foreign(path):
        files = sorted(path.glob("*idx?-ubyte*")) if path.is_dir() else [path]
    return digest(marks(files))


def _samples(task: dict, seed: int, fetched: Path | None) -> Samples:
    kind = task["kind"]
    if kind == "mnist":
        return mnist.read(task, fetched)
    if kind == "npz":
        return _npz(task)
    if kind == "digits":
        return _digits()
    return _xor(task, seed) if kind == "xor" else _parity(task, seed)


def _digits() -> Samples:
    """1,797 images of 8 x 8 with values of 0 to 1, which scikit-learn ships."""
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    return samples("digits", x / 16, y, "digits")


def _npz(task: dict) -> Samples:
    """Samples of the arrays `x` and `y` of the file `path`; `x_test`, `y_test` if it has them.

    Raises LoadError.
    """
    path = Path(task["path"])
    content = arrays(path, ("x", "y"), ("x_test", "y_test"))
    if ("x_test" in content) != ("y_test" in content):
        raise LoadError(f"{path}: has only one of the arrays x_test and y_test.")
    if "x_test" not in content:
        return samples(path.stem, content["x"], content["y"], str(path))
    return with_test_set(path.stem, *content.values(), str(path))


def _xor(task: dict, seed: int) -> Samples:
    """Samples (1,000 unless `samples` is given) of two bits; all parts share the four patterns."""
    return _drawn("xor", 2, task.get("samples", 1_000), seed)


def _parity(task: dict, seed: int) -> Samples:
    """Samples (10,000) of `bits` bits, float32 0 or 1; class 1 where an odd number of them is 1.

    Drawn with replacement, as in the original: few bits recur in all parts.
    """
    bits = task["bits"]
    if type(bits) is not int or not 2 <= bits <= MOST_BITS:
        raise LoadError(f"parity: bits is {bits!r}; use 2 to {MOST_BITS}.")
    return _drawn(f"parity{bits}", bits, task.get("samples", 10_000), seed)


def _drawn(name: str, bits: int, n: int, seed: int) -> Samples:
    if type(n) is not int or not 2 <= n <= MOST_SAMPLES:
        raise LoadError(f"{name}: samples is {n!r}; use 2 to {MOST_SAMPLES}.")
    drawn = numpy_rng(seed, "tep_bp", name, "data").integers(0, 2, (n, bits))
    return samples(name, drawn.astype(np.float32), drawn.sum(axis=1) % 2, name)
