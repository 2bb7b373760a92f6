"""What must hold of the figures of any study, which stand on one page."""

import re
from collections.abc import Collection


def assert_well_formed_and_apart(svgs: Collection[str], more_ids_than: int) -> None:
    """References are to ids of the same figure, and no id occurs in two."""
    ids = [found for svg in svgs for found in re.findall(r'\bid="([^"]*)"', svg)]
    assert len(ids) > more_ids_than
    assert len(set(ids)) == len(ids)
    for svg in svgs:
        known = set(re.findall(r'\bid="([^"]*)"', svg))
        assert set(re.findall(r'href="#([^"]*)"', svg)) <= known
        assert set(re.findall(r"url\(#([^)]*)\)", svg)) <= known


def assert_self_contained(svgs: Collection[str]) -> None:
    """Nothing comes from outside, text stays text, and the ink is the page's."""
    for svg in svgs:
        assert re.findall(r'(?:src|href)="(?!#)', svg) == []
        assert re.findall(r"<image|<script|@import|url\((?!#)", svg) == []
        assert "var(--ink)" in svg
        assert "#0102" not in svg
        assert "<text" in svg
