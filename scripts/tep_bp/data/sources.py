"""The one door to tasks: reads, or draws, and splits one, by a function of the kind's name.

Small kinds are here: scikit-learn's digits, arrays that a user brings (.npz), and Boolean functions
of random bits (xor of two, parity of many). MNIST is in mnist.py.
"""

from pathlib import Path

import numpy as np

from scripts.lib.faults import LoadError
from scripts.lib.foreign import marks
from scripts.lib.foreign_arrays import arrays
from scripts.lib.implementations import implementation, implementations
from scripts.lib.seeds import numpy_rng
from scripts.lib.spec import digest
from scripts.tep_bp.data.mnist_files import idx_files
from scripts.tep_bp.data.samples import Samples, samples, with_test_set
from scripts.tep_bp.data.scale import scaled
from scripts.tep_bp.data.split import split
from scripts.tep_bp.data.store import Arrays, Digits, Mnist, Parity, Task, TaskSettings, Xor


def read(task: TaskSettings, split_seed: int, *fetched: Path) -> Task:
    """A task with its parts; LoadError (one sentence) at the first fault of what is read.

    `split_seed` draws the parts, and the bits of xor and parity. `fetched` is the file that
    `fetch.py` brought, of a task that is `downloaded`.
    """
    loaded = implementations(__name__)[task.kind](task, split_seed, *fetched)
    parts, classes = split(loaded, split_seed), int(loaded.y.max()) + 1
    own = isinstance(task, Mnist | Arrays)
    where = (own and task.path) or loaded.name
    stated = task.scale if own else "none"
    x, said = scaled(loaded.x, parts["train"], loaded.image, stated, where)
    reading = loaded.reading | ({"numbers": said} if own else {})
    return Task(loaded.name, x, loaded.y, classes, parts, reading)


def downloaded(task: TaskSettings) -> bool:
    """Whether the task is read from a file that has to be fetched first."""
    return isinstance(task, Mnist) and task.path is None


def fingerprint(task: TaskSettings) -> str:
    """Digest of the local files of a task (`marks`); "" if it has none.

    LoadError if they are missing.
    """
    if not isinstance(task, Mnist | Arrays) or task.path is None:
        return ""
    path = Path(task.path)
    if isinstance(task, Mnist) and path.is_dir():
        return digest(marks(idx_files(path)))
    return digest(marks([path]))


@implementation
def digits(task: Digits, seed: int) -> Samples:
    """1,797 images of 8 x 8 with values of 0 to 1, which scikit-learn ships."""
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    return samples("digits", x / 16, y, "digits")


@implementation
def mnist(task: Mnist, seed: int, *fetched: Path) -> Samples:
    from scripts.tep_bp.data.mnist import read

    return read(task.path, *fetched)


@implementation
def xor(task: Xor, seed: int) -> Samples:
    return _parity("xor", 2, task.samples, seed)


@implementation
def parity(task: Parity, seed: int) -> Samples:
    return _parity(f"parity{task.bits}", task.bits, task.samples, seed)


@implementation
def npz(task: Arrays, seed: int) -> Samples:
    return _arrays(Path(task.path))


def _arrays(path: Path) -> Samples:
    """Samples of the arrays `x` and `y` of a file; `x_test`, `y_test` if it has them.

    Raises LoadError.
    """
    content = arrays(path, ("x", "y"), ("x_test", "y_test"))
    if ("x_test" in content) != ("y_test" in content):
        raise LoadError(f"{path}: has only one of the arrays x_test and y_test.")
    if "x_test" not in content:
        return samples(path.stem, content["x"], content["y"], str(path))
    return with_test_set(path.stem, *content.values(), str(path))


def _parity(name: str, bits: int, n: int, seed: int) -> Samples:
    """n samples of `bits` bits, float32 0 or 1; class 1 where an odd number of them is 1.

    Drawn with replacement, as in the original: few bits recur in all parts, and all parts of xor
    share its four patterns.
    """
    drawn = numpy_rng(seed, "tep_bp", name, "data").integers(0, 2, (n, bits))
    return samples(name, drawn.astype(np.float32), drawn.sum(axis=1) % 2, name)
