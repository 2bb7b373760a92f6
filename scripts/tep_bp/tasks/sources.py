"""The one door to tasks: reads and splits a task of any kind."""

from pathlib import Path

from scripts.lib.foreign import foreign, marks
from scripts.lib.spec import digest
from scripts.tep_bp.task import Task
from scripts.tep_bp.tasks import arrays, bits, mnist
from scripts.tep_bp.tasks.samples import Samples, samples
from scripts.tep_bp.tasks.split import split

# Keys of each kind of task besides `kind`: those it needs, and those it may have.
TASK_KEYS = {
    "digits": ((), ()),
    "mnist": ((), ("path",)),
    "xor": ((), ("samples",)),
    "parity": (("bits",), ("samples",)),
    "npz": (("path",), ()),
}


def read(task: dict, split_seed: int, fetched: Path | None = None) -> Task:
    """A task with its parts; LoadError (one sentence) at the first fault of what is read.

    `task` has the keys of its kind: the configuration is checked before the first job.
    `split_seed` draws the parts, and the bits of xor and parity. `fetched` is the file that
    `fetch.py` brought, of a task that is `downloaded`.
    """
    found = _samples(task, split_seed, fetched)
    classes = int(found.y.max()) + 1
    return Task(found.name, found.x, found.y, classes, split(found, split_seed))


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
        return arrays.read(task)
    if kind == "digits":
        return _digits()
    return {"xor": bits.xor, "parity": bits.parity}[kind](task, seed)


def _digits() -> Samples:
    """1,797 images of 8 x 8 with values of 0 to 1, which scikit-learn ships."""
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    return samples("digits", x / 16, y, "digits")
