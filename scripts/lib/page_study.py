"""What a study's chapter is told, and what it says: values that its template puts into words.

A study with tables of its own has `scripts/<study>/chapter.py` with `say(told) -> Said`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from scripts.lib.page_tables import Column, Name, Row, Table, entry, text
from scripts.lib.sections import in_words

# Verdicts of a ratio that may be printed, in words.
VERDICTS = {"less": "costs less", "more": "costs more", "no difference found": None}


def verdict(row: Row) -> str:
    """The verdict of a comparison, with its reason; a slowdown is called one.

    A row of no quantity is about time.
    """
    words = VERDICTS.get(row["verdict"]) or row["verdict"]
    if row["verdict"] == "more" and row.get("quantity", "fit_s").endswith("_s"):
        words += ": a slowdown"
    return f"{words}: {row['reason']}" if row.get("reason") else words


@dataclass(frozen=True)
class Told:
    """A study as its chapter is told of it: settings, arms, agreement, and its own tables.

    `about`: name, role and sentence of each arm; `ran`: arms that computed something; `tables`:
    rows of its CSV files; `cells`: rows of summary.csv of the result, of what `report.only` names;
    `report`: the section of that name; `labels`: words for ids of arms and
    contestants, `workloads`: those of workloads.
    """

    study: str
    arm: str
    reference: str
    about: Sequence[Row] = ()
    ran: Sequence[str] = ()
    agreement: Sequence[Row] = ()
    tables: Mapping[str, list[Row]] = field(default_factory=dict)
    cells: Sequence[Row] = ()
    axes: Sequence[str] = ()
    report: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    workloads: Mapping[str, str] = field(default_factory=dict)

    def rows(self, name: str) -> list[Row]:
        """Rows of one of its own tables; none if there is no such table."""
        return self.tables.get(name) or []

    def with_role(self, *roles: str) -> list[str]:
        """Arms with one of these roles."""
        return [arm["name"] for arm in self.about if arm["role"] in roles]

    def name(self, id: str) -> Name:
        """The label of an arm or a contestant."""
        return Name(id, self.labels.get(id, in_words(id)))

    def workload(self, id: str) -> Name:
        """The label of a workload."""
        return Name(id, self.workloads.get(id, in_words(id)))

    def naming(self, heading: str, key: str | None = None, form: str = "head") -> Column:
        """A column of ids, as labels with the id in the tooltip."""
        return Column(heading, lambda row: self.name(row[key or heading]), form)

    def reading(self, name: str = "reading") -> Table:
        """How the data were read where they can be read in two ways: rows of what and how."""
        rows = self.rows(name)
        several = (
            [entry("data", lambda row: str(row["data"]))] if rows and "data" in rows[0] else []
        )
        columns = [*several, entry("what"), text("read as", lambda row: str(row["how"]))]
        return self.table("reading", columns, rows, f"{self.study}/tables/{name}.csv")

    def table(
        self,
        name: str,
        columns: Sequence[Column],
        rows: Sequence[Row] | None = None,
        source: str | None = None,
        marked: Callable[[Row], bool] = lambda row: False,
    ) -> Table:
        """A table of rows (of the file of this name, if none are given), from `source`."""
        rows = self.rows(name) if rows is None else rows
        source = source or f"{self.study}/tables/{name}.csv"
        return Table(f"{self.study}-{name}-table", source, columns, rows, marked)


@dataclass(frozen=True)
class Finding:
    """What a study found, in a sentence with its uncertainty; `verdict` is what decides its words.

    `value` lies between `low` and `high`; None where nothing was estimated.
    """

    text: str
    verdict: str = ""
    value: float | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Alarm:
    """What a reader must see before the figures: a word in a badge, and a sentence."""

    word: str
    text: str


@dataclass(frozen=True)
class Said:
    """What a chapter says beside its prose: answers, alarms, tables, limits, facts of its words.

    The first of the findings stands on the first screen.
    """

    findings: list[Finding] = field(default_factory=list)
    alarms: list[Alarm] = field(default_factory=list)
    tables: dict[str, Table] = field(default_factory=dict)
    limits: list[str] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
