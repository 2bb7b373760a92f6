"""Where the tables of a run were made, and what it cost: once for the page."""

from collections.abc import Sequence

from scripts.lib.page_tables import Column, Row, Table, entry, number, text
from scripts.lib.provenance import shortened
from scripts.spine.chapters import Chapter


def origins(chapters: Sequence[Chapter]) -> Table:
    """One row for each way in which tables were made: machine, commit, versions."""
    rows: dict[tuple, Row] = {}
    for chapter in chapters:
        for file, made in chapter.sources.items():
            versions = ", ".join(f"{name} {is_}" for name, is_ in made["versions"].items())
            state = "changed since the commit (dirty)" if made["dirty"] else "clean"
            key = made["processor"], made["platform"], shortened(made["commit"]), state, versions
            row = rows.setdefault(key, dict(zip(KEYS, key, strict=True)) | {"tables": []})
            row["tables"].append(f"{chapter.study}/{file}")
    columns = [
        Column("tables", lambda row: ", ".join(row["tables"]), "text"),
        *(entry(key) for key in KEYS[:-1]), text(KEYS[-1]),
    ]  # fmt: skip
    return Table("origins-table", "the tables’ metadata", columns, list(rows.values()))


KEYS = ("processor", "platform", "commit", "working tree", "versions")


def times(chapters: Sequence[Chapter]) -> Table:
    """CPU seconds of the jobs of each study, and wall seconds of its measurement."""
    rows = [
        {"study": one.title, "measurement, wall s": one.measured_s} | dict(one.jobs)
        | {"rest": one.jobs["job_cpu_s"] - one.jobs["work_cpu_s"]}
        for one in chapters
    ]  # fmt: skip
    columns = [
        Column("study", "study", "head"), number("jobs", lambda row: int(row["jobs"])),
        number("units", lambda row: int(row["units"])), number("units, CPU s", "work_cpu_s"),
        number("rest, CPU s", "rest"), number("measurement, wall s"),
    ]  # fmt: skip
    return Table("times-table", "jobs.csv and measurements.parquet", columns, rows)
