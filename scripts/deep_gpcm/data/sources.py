"""The one door to answers: reads a data source of any kind."""

from pathlib import Path

from scripts.deep_gpcm.data import generator, long_table, matrix, three_lines
from scripts.deep_gpcm.data.responses import Responses
from scripts.lib.faults import LoadError
from scripts.lib.foreign import marks
from scripts.lib.spec import digest

# Keys of each kind of data source besides `kind`: those it needs, and those it may have.
SOURCE_KEYS = {
    "generated": (("students", "questions", "categories", "lengths"), ("window",)),
    "three_lines": (
        ("files", "format", "questions", "categories", "id_base"),
        ("truth", "window"),
    ),
    "table": (("path",), ("student", "time", "item", "response", "categories", "window")),
    "irtorch": (("table",), ("window",)),
}


def read(source: dict, seed: int, fetched: Path | None = None) -> Responses:
    """All answers of a data source, checked; LoadError (one sentence) at the first fault.

    `seed` matters to generated answers only; `fetched` is the file of a kind that is downloaded.
    """
    kind = source.get("kind")
    if kind == "generated":
        return generator.read(source, seed)
    if kind == "three_lines":
        return three_lines.read(source)
    if kind == "table":
        return long_table.read(source)
    if kind == "irtorch":
        if fetched is None:
            raise LoadError(f"The table {source['table']} has to be fetched first.")
        return matrix.read(source, fetched)
    raise LoadError(f"No source of kind {kind!r}; use one of {', '.join(SOURCE_KEYS)}.")


def fingerprint(source: dict) -> str:
    """Digest of the local files that a data source is read from (`marks`); "" if none.

    LoadError if one of them is missing.
    """
    files = [*source.get("files", []), *(source[key] for key in ("truth", "path") if key in source)]
    return digest(marks(map(Path, files))) if files else ""
