"""A study's chapter as the page includes it, and what a reader reads in it."""

import re
from html import unescape

from jinja2 import Environment, FileSystemLoader

from scripts.lib.code import ROOT
from scripts.lib.page import shown


def rendered(name: str, study: dict) -> str:
    """The chapter of a study, by the page's own settings."""
    env = Environment(
        loader=FileSystemLoader(ROOT / "workflow/report"),
        autoescape=True,
        finalize=shown,
        trim_blocks=True,
    )
    return env.get_template(f"{name}.html").render(study={"study": name} | study)


def words(text: str) -> str:
    """What a reader reads, cells divided by bars, without the figures."""
    text = re.sub(r"<svg.*?</svg>", "", text, flags=re.DOTALL)
    text = re.sub(r"</t[dh]>", " | ", text)
    text = re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]*>", "", text)))
    return text.replace("\N{EN DASH}", "-").replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")
