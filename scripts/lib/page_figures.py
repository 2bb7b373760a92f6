"""A figure as the page shows it: a short alternative text, and its numbers as a table to open.

Charts name their SVG by a title and all values: `title; entry: value; ...`.
"""

import html
import re
from collections.abc import Mapping
from dataclasses import dataclass

from markupsafe import Markup

from scripts.lib.page_tables import Column, Table, number
from scripts.lib.sections import in_words

NAME = re.compile(r'aria-label="([^"]*)"')
ID = re.compile(r"[a-z0-9]+(_[a-z0-9]+)+")
COMMENT = re.compile(r"<!--.*?-->\s*", re.DOTALL)
LABEL = re.compile(r"(<text\b[^>]*>)([^<]+)(</text>)")


@dataclass(frozen=True)
class Drawing:
    """An SVG whose accessible name is its title; the values that it had beside it are a table."""

    svg: Markup
    title: str
    values: Table


def labelled(text: str, labels: Mapping[str, str]) -> str:
    """A text of a figure with its id in words: all of it, or what stands before a colon."""
    before, colon, after = text.partition(": ")
    if f"{before}{colon}" in labels:
        return f"{labels[f'{before}{colon}']}{after}"
    return in_words(text) if ID.fullmatch(text) else text


def drawing(name: str, svg: str, labels: Mapping[str, str], source: str) -> Drawing:
    """The figure `name` of an SVG text; ids of the configuration that it shows become words."""
    told = NAME.search(svg)
    title, *entries = html.unescape(told[1] if told else "").split("; ")
    rows = []
    for text in entries:
        what, _, value = text.partition(": ")
        rows.append({"what": what, "value": value})

    def named(found: re.Match) -> str:
        text = html.unescape(found[2]).strip()
        shown = labelled(text, labels)
        if shown == text:
            return found[0]
        return f"{found[1]}{html.escape(shown)}<title>{html.escape(text)}</title>{found[3]}"

    svg = NAME.sub(lambda _: f'aria-label="{html.escape(title)}"', svg, count=1)
    # Comments repeat each text. Only charts of this project come here; their texts are escaped.
    shown = Markup(LABEL.sub(named, COMMENT.sub("", svg)))
    columns = [Column("of", "what", "head"), number("value", "value")]
    return Drawing(shown, title, Table(f"{name}-values", source, columns, rows))
