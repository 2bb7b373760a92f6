"""The ledger of claims on the page: counts for one line, and tables of what is known of each."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from scripts.lib.numerals import MISSING, ranged, span
from scripts.lib.page_study import Told
from scripts.lib.page_tables import Badge, Column, Row, Table, entry, number, text
from scripts.spine.common_tables import named_quantity

# Verdicts in the order of the line, with their words for one claim and for several.
LINE = {
    "holds": ("holds", "hold"),
    "holds partly": ("holds in part", "hold in part"),
    "false": ("is false", "are false"),
    "no difference found": ("shows no difference", "show no difference"),
    "undecided": ("is undecided", "are undecided"),
    "other": ("has no ratio", "have no ratio"),
    "open": ("is open", "are open"),
}
TONES = {"holds": "good", "false": "bad"}


@dataclass(frozen=True)
class Ledger:
    """`counts` by the keys of LINE; `told` by this run, `recorded` by an earlier one, `open`."""

    all: int
    counts: Mapping[str, int]
    recorded: int
    tables: Mapping[str, Table]

    @property
    def open(self) -> int:
        """Claims without a verdict from this run."""
        return self.counts.get("open", 0)

    @property
    def line(self) -> str:
        """The ledger in one line."""
        parts = [
            f"{count} {LINE[kind][count != 1]}"
            for kind in LINE
            if (count := self.counts.get(kind, 0))
        ]
        return ", ".join(parts)


def kind_of(row: Row) -> str:
    """The key of LINE under which a claim is counted."""
    if not row["date"]:
        return "open"
    return row["verdict"] if row["verdict"] in LINE else "other"


def ledger(claims: Sequence[Row], studies: Mapping[str, Told]) -> Ledger:
    """The ledger of these claims; labels are those of the studies that were run."""
    told = [row for row in claims if row["date"]]
    recorded = [row for row in claims if row["record"]]
    lacking = [row for row in claims if not row["date"] and not row["record"]]

    def named(row: Row, key: str) -> str:
        study = studies.get(row["study"])
        if study is None:
            return row[key]
        return str(study.workload(row[key]) if key == "workload" else study.name(row[key]))

    def measured_as(row: Row) -> str:
        if not row["slower"]:
            return MISSING
        sides = f"{named(row, 'slower')} / {named(row, 'faster')}"
        if not row["workload"]:
            return sides
        return f"{sides}, {named_quantity(row['quantity'])}, {named(row, 'workload')}"

    def noted(reason: str) -> Callable[[Row], str]:
        def note(row: Row) -> str:
            needs = f"on a GPU it needs {row['needs']}" if row["needs"] and row["slower"] else ""
            return "; ".join(part for part in (row[reason], row["note"], needs) if part)

        return note

    def claim(row: Row) -> str:
        return f"{row['claim']} ({row['kind']})" if row["kind"] else row["claim"]

    what: list[Column] = [
        Column("id", "id", "head"), text("claim", claim), text("measured as", measured_as),
        number("claimed", "claimed_factor"),
    ]  # fmt: skip
    of_run = [
        *what, number("measured", lambda row: ranged(row["measured"], row["low"], row["high"])),
        number("A/A interval", lambda row: span(row["noise_low"], row["noise_high"])),
        entry("verdict", lambda row: Badge(row["verdict"], TONES.get(row["verdict"], ""))),
        number("rounds"), number("pairs"),
        text("date, machine", lambda row: f"{row['date']}, {row['machine']}"),
        text("note", noted("reason")),
    ]  # fmt: skip
    of_record = [
        *what,
        number("found", lambda row: ranged(
            row["record_measured"], row["record_low"], row["record_high"])),
        entry("verdict of the record", "record_verdict"), number("rounds", "record_rounds"),
        number("pairs", "record_pairs"),
        text("date, machine, record", lambda row: (
            f"{row['record_date']}, {row['record_machine']}, {row['record']}")),
        text("note", noted("record_reason")),
    ]  # fmt: skip
    without = [*what, entry("verdict"), text("why not, and note", noted("reason"))]
    tables = {
        name: Table(f"ledger-{name}", "ledger.csv", columns, rows)
        for name, columns, rows in (
            ("told", of_run, told), ("recorded", of_record, recorded), ("lacking", without, lacking)
        )
    }  # fmt: skip
    counts = Counter(kind_of(row) for row in claims)
    return Ledger(len(claims), counts, len(recorded), tables)
