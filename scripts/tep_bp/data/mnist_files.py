"""Which files MNIST is in: known to the fingerprint too, which must not know how they are read."""

from pathlib import Path

from scripts.lib.faults import LoadError
from scripts.lib.foreign import foreign

# Names of the files without their ending, and how many sizes each states.
FILES = {"train-images": 3, "train-labels": 1, "t10k-images": 3, "t10k-labels": 1}


def idx_file(folder: Path, stem: str) -> Path:
    """The file of one of FILES; LoadError, with the names that are read, if there is none.

    Plain or .gz, with a dash or a dot, or in a folder of its own name, as some archives unpack.
    """
    names = [f"{stem}{mark}idx{FILES[stem]}-ubyte{end}" for mark in "-." for end in ("", ".gz")]
    paths = [folder / name for name in names] + [folder / name / name for name in names]
    with foreign(folder):
        found = next((path for path in paths if path.is_file()), None)
    if found is None:
        raise LoadError(f"{folder}: has no file {names[0]} or {names[1]}.")
    return found


def idx_files(folder: Path) -> list[Path]:
    """All four, and nothing else: what lies beside them changes nothing."""
    return [idx_file(folder, stem) for stem in FILES]
