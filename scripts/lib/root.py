"""Where the repository is."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def ours(path: str) -> str:
    """A file of the repository, as seen from the working directory: as it is where that is ROOT."""
    return path if Path.cwd().resolve() == ROOT else str(ROOT / path)
