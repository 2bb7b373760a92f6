"""One self-contained page from the tables of all studies: report.html (words: workflow/report/).

What its first screen says of every study is in headlines.csv as well.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from scripts.lib.comparison import GATE, PRECISE
from scripts.lib.files import replacing
from scripts.lib.job import JOB
from scripts.lib.page import records, shown
from scripts.lib.stage import ALLOCATOR, stage
from scripts.lib.table_files import read_frame, write_csv
from scripts.lib.workers import CALL_S
from scripts.lib.yaml_files import LOADER
from scripts.spine.chapters import Chapter, chapter
from scripts.spine.claims import ledger
from scripts.spine.overview import Overview, overview

PARTS = ("figures", "method", "folds", "defects")  # macros of a study's template


def of_study(paths: list[Path], study: str) -> list[Path]:
    """Files of a study, which lie in the folder of its name."""
    return [path for path in paths if JOB.below(str(path)).startswith(f"{study}/")]


def environment(folder: Path) -> Environment:
    """How templates are filled: all is escaped, and a name that is not there is an error."""
    env = Environment(
        loader=FileSystemLoader(folder), autoescape=True, finalize=shown, trim_blocks=True,
        lstrip_blocks=True, undefined=StrictUndefined,
    )  # fmt: skip
    # Files of this repository, inlined; nothing of a study's is in them.
    env.globals |= {"call_s": CALL_S, "gate": GATE, "precise": PRECISE}
    env.globals["inlined"] = lambda name: Markup((folder / name).read_text(encoding="utf-8"))
    return env


def faults_of(folder: Path, study: str) -> list[dict[str, str]]:
    """Faults of the original and what is done here: workflow/report/<study>.faults.yaml."""
    path = folder / f"{study}.faults.yaml"
    return yaml.load(path.read_bytes(), Loader=LOADER) if path.is_file() else []


def chapter_page(env: Environment, folder: Path, one: Chapter) -> Markup:
    """A chapter as HTML, with the words of its own template <study>.html, if there is one.

    What that template prints is the question; its macros `figures`, `method` and `folds`, where it
    has them, are put where they belong.
    """
    told = {"chapter": one, "faults": faults_of(folder, one.study)}
    name = f"{one.study}.html"
    own = env.get_template(name).make_module(told) if (folder / name).is_file() else None
    parts = {part: getattr(own, part, None) for part in PARTS}
    asked = Markup(own) if own else ""
    return Markup(env.get_template("chapter.html").render(**told, own=parts, question=asked))


def written(folder: Path, chapters: list[Chapter], first: Overview, note: str = "") -> str:
    """The whole page; `note` is what the configuration says of the run."""
    env = environment(folder)
    parts = [(one, chapter_page(env, folder, one)) for one in chapters]
    return env.get_template("page.html").render(
        chapters=parts, overview=first, ledger=first.ledger, allocator=ALLOCATOR, note=note
    )


def first_screen(chapters: list[Chapter], claims: list[dict[str, Any]]) -> Overview:
    """What the page opens with."""
    studies: Mapping[str, Any] = {one.study: one.told for one in chapters}
    return overview(chapters, ledger(claims, studies))


def main(
    spec: dict, template: Path, ratios: Path, ledger: Path, peers: Path, tables: list[Path],
    chapters: list[Path], page: Path, headlines: Path,
) -> None:  # fmt: skip
    compared, others = read_frame(ratios), read_frame(peers)
    told = []
    for one in spec["studies"]:
        named = {path.stem: path for path in of_study(tables, one["study"])}
        told.append(chapter(one, compared, others, named, of_study(chapters, one["study"])))
    first = first_screen(told, records(read_frame(ledger)))
    text = written(template.parent, told, first, spec["note"])
    with replacing(page) as temporary:
        temporary.write_text(text, encoding="utf-8")
    write_csv(headlines, [one.row for one in first.bars])


if __name__ == "__main__":
    stage(main)
