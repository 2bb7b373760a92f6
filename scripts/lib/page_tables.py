"""Tables of the page: columns that know their heading, their cell and its form.

A table is a value: `texts` has what a reader reads, row by row, and `parts` what the template
prints. So head and cells cannot drift apart, and a test needs no page.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from scripts.lib.numerals import Format, plain

Row = dict[str, Any]
Tone = str  # of a badge: "good", "bad", "open" or "" (neither)


@dataclass(frozen=True)
class Badge:
    """A word that stands out: what was decided of a row."""

    text: str
    tone: Tone = ""

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Name:
    """An id of the configuration as a label in words; `id` itself is its tooltip."""

    id: str
    label: str

    def __str__(self) -> str:
        return self.label


@dataclass(frozen=True)
class Cell:
    """What stands in a cell: `parts` in one line each, and how (`form`: n, head, text or "")."""

    parts: tuple[Any, ...]
    form: str

    @property
    def text(self) -> str:
        """Its words."""
        return " ".join(str(part) for part in self.parts)


@dataclass(frozen=True)
class Column:
    """A heading over a cell that is a key of the row, in a format, or is made of the row."""

    heading: str
    value: str | Callable[[Row], Any]
    form: str = ""
    format: Format = plain

    def cell(self, row: Row) -> Cell:
        """The cell of a row: a list is several parts, a Badge or Name stays one."""
        found = self.value(row) if callable(self.value) else row.get(self.value)
        parts = found if isinstance(found, list) else [found]
        kept = (part if isinstance(part, Badge | Name) else self.format(part) for part in parts)
        return Cell(tuple(kept), self.form)


def number(
    heading: str, value: str | Callable[[Row], Any] | None = None, format: Format = plain
) -> Column:
    """A column of numbers, set to the right; its key is the heading, if none is given."""
    return Column(heading, heading if value is None else value, "n", format)


def text(heading: str, value: str | Callable[[Row], Any] | None = None) -> Column:
    """A column of words that may take several lines."""
    return Column(heading, heading if value is None else value, "text", words)


def entry(heading: str, value: str | Callable[[Row], Any] | None = None) -> Column:
    """A column of short words or mixed content; missing ones are dashes."""
    return Column(heading, heading if value is None else value)


def words(value: Any) -> str:
    """Nothing where there are none."""
    return "" if value is None else str(value)


@dataclass(frozen=True)
class Table:
    """Rows under columns; `name` is its place on the page, `source` the file it is from."""

    name: str
    source: str
    columns: Sequence[Column]
    rows: Sequence[Row]
    marked: Callable[[Row], bool] = field(default=lambda row: False)

    @property
    def headings(self) -> list[str]:
        """The words above the columns."""
        return [column.heading for column in self.columns]

    @property
    def body(self) -> list[tuple[bool, list[Cell]]]:
        """For each row whether it is marked, and its cells."""
        return [(self.marked(row), [c.cell(row) for c in self.columns]) for row in self.rows]

    @property
    def texts(self) -> list[list[str]]:
        """What a reader reads in the cells."""
        return [[cell.text for cell in cells] for _, cells in self.body]

    def column(self, heading: str) -> list[str]:
        """What a reader reads under one heading."""
        at = self.headings.index(heading)
        return [cells[at] for cells in self.texts]

    def __len__(self) -> int:
        return len(self.rows)
