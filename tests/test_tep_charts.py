"""Figures of the study: every number can be read, nothing comes from outside."""

import json
import re
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

from scripts.tep_bp.draw import CHARTS, drawn
from scripts.tep_bp.jobs import DRAWN
from scripts.tep_bp.outcome.model_charts import (
    gradient_errors,
    ranges_by_arm,
    residuals_by_width,
    time_by_width,
)
from scripts.tep_bp.outcome.search_charts import accuracy_by_rank, anytime_curves, heat_maps
from scripts.tep_bp.outcome.styles import RULES, styles_of
from tests.stages import run_stage
from tests.svgs import assert_self_contained, assert_well_formed_and_apart
from tests.tep_outcome import outcome


@pytest.fixture(scope="module")
def tables() -> dict[str, pd.DataFrame]:
    return outcome()


@pytest.fixture(scope="module")
def svgs(tables) -> dict[str, str]:
    return drawn(tables)


def name_of(svg: str) -> str:
    """The accessible name of a figure."""
    return ElementTree.fromstring(svg).attrib["aria-label"]


def visible(svg: str) -> str:
    return re.sub(r'aria-label="[^"]*"', "", svg)


def test_figures_are_well_formed_and_share_no_id(svgs):
    assert list(svgs) == list(CHARTS)
    assert all(svgs.values())
    assert_well_formed_and_apart(svgs.values(), more_ids_than=20)


def test_figures_refer_to_nothing_outside_and_take_their_ink_from_the_page(svgs):
    assert_self_contained(svgs.values())


def test_no_tick_is_in_the_notation_of_tex(svgs):
    assert [name for name, svg in svgs.items() if "$" in svg or "mathdefault" in svg] == []


def test_an_axis_of_less_than_a_decade_still_has_ticks(tables):
    table = tables["widths"]
    table = table[table["fit_s"].between(0.12, 0.9)]
    ticks = re.findall(r">(0\.[0-9]+)</text>", visible(time_by_width(table)))
    assert {"0.2", "0.5"} <= set(ticks)


def test_the_accessible_names_have_the_numbers_of_the_tables(tables, svgs):
    told = {name: name_of(svg) for name, svg in svgs.items()}
    for rule, curve in tables["anytime"].groupby("rule"):
        end = curve.iloc[-1]
        assert f"{rule} n 32: {end['value']:.3f} ({end['low']:.3f} to" in told["anytime"]
    for row in tables["repeats"].itertuples():
        words = f"{row.rule} rank {row.rank + 1}: {row.test_accuracy:.4f} ({row.low:.4f} to"
        assert words in told["repeats"]
    for row in tables["legacy"].itertuples():
        assert f"{row.arm}: median {row.median:.3f}, quartiles" in told["legacy"]
    for row in tables["heat"].itertuples():
        words = f"{row.rule} lr {row.x_low:.1e} {row.y} {row.y_low:g}: {row.median:.3f} ("
        assert words in told["heat"]
    for row in tables["bias"].itertuples():
        assert f"{row.difference} beta {row.beta:g}: {row.error:.1e}" in told["bias"]
    assert "tep gated (economy) 64: 6.4e-03 (6.4e-03)" in told["residuals"]
    assert "tep reference 64: 1;" in told["widths"]
    for rule, shares in tables["distribution"].groupby("rule"):
        assert f"{rule} 100% at {shares['val_accuracy'].max():.3f}" in told["distribution"]


def test_the_same_tables_give_the_same_text(tables, svgs):
    assert drawn(tables) == svgs


def test_tables_without_rows_have_no_figure(tables):
    assert set(drawn({name: table.iloc[:0] for name, table in tables.items()}).values()) == {""}


def test_a_rule_looks_the_same_whichever_others_there_are():
    assert styles_of(["rbp", "bp"]) == {name: RULES[name] for name in ("rbp", "bp")}
    assert len({str(style) for style in styles_of(list("abcdefgh")).values()}) == 8


def test_one_rule_alone_is_drawn_too(tables):
    alone = {name: table[table["rule"] == "bp"] if "rule" in table else table
             for name, table in tables.items()}  # fmt: skip
    found = drawn(alone)
    assert [name for name, svg in found.items() if not svg] == ["residuals"]
    assert re.findall(r">(tep|bp|rbp)<", visible(found["anytime"])) == ["bp"]


def test_a_budget_that_was_not_recorded_has_no_panel(tables):
    table = tables["anytime"].assign(flops=np.nan)
    assert "FLOPs<" in anytime_curves(tables["anytime"])
    assert "FLOPs<" not in anytime_curves(table)


def test_legacy_arms_are_not_in_the_figures_of_residuals_and_time(tables):
    for chart, name in ((residuals_by_width, "residuals"), (time_by_width, "widths")):
        assert "legacy" not in chart(tables[name])
        renamed = tables[name].assign(role="other")
        assert ("legacy" in chart(renamed)) == (name == "widths")


def test_a_mean_of_one_seed_has_a_mark_and_no_interval(tables):
    table = tables["repeats"].assign(low=np.nan, high=np.nan)
    lines = [len(re.findall(r"stroke-width: 1.2", accuracy_by_rank(each)))
             for each in (tables["repeats"], table)]  # fmt: skip
    assert lines[0] - lines[1] == len(table)
    marks = [len(re.findall(r"<use [^>]*var\(--(?:first|second)", accuracy_by_rank(each)))
             for each in (tables["repeats"], table)]  # fmt: skip
    # Ticks are of the ink's colour; two rules have marks of another.
    assert marks[0] == marks[1] >= 6


def test_configurations_and_arms_without_numbers_are_left_out(tables):
    repeats = tables["repeats"].copy()
    repeats.loc[repeats["rule"] == "bp", "test_accuracy"] = np.nan
    assert "bp rank" in name_of(accuracy_by_rank(tables["repeats"]))
    assert not re.search(r"\bbp rank", name_of(accuracy_by_rank(repeats)))
    legacy = tables["legacy"].copy()
    legacy.loc[legacy["arm"] == "legacy", "median"] = np.nan
    assert ">legacy<" not in ranges_by_arm(legacy)


def test_the_better_cell_is_the_darker_one(tables):
    cells = tables["heat"].iloc[:2].assign(median=[0.5, 0.9])
    shades = [float(word) for word in re.findall(r"[^-]opacity: ([\d.]+)", heat_maps(cells))]
    assert shades == sorted(shades)
    assert shades[0] < shades[-1]


def test_errors_of_zero_are_left_out_of_a_logarithmic_axis(tables):
    bias = tables["bias"].copy()
    bias.loc[0, "error"] = 0.0
    told = name_of(gradient_errors(bias))
    assert "one_sided beta 0.01:" not in told
    assert "one_sided beta 0.1:" in told


def test_a_residual_of_zero_or_nothing_still_draws(tables):
    table = tables["residuals"].copy()
    table.loc[0, ["residual_free", "residual_free_worst"]] = 0.0
    table.loc[1, ["residual_free", "residual_free_worst"]] = np.nan
    told = name_of(residuals_by_width(table))
    assert "tep gated (economy) 8: 0.0e+00 (0.0e+00)" in told
    assert "tep gated (economy) 16:" not in told


def test_the_stage_writes_one_file_with_all_figures(monkeypatch, tables, svgs, tmp_path):
    assert tuple(CHARTS) == DRAWN
    paths = [tmp_path / f"{name}.csv" for name in DRAWN]
    for path in paths:
        tables[path.stem].to_csv(path, index=False)
    files = {"input": {"tables": paths}, "output": {"figures": tmp_path / "figures.json"}}
    assert run_stage(monkeypatch, "tep_bp/draw.py", {}, **files) is None
    found = json.loads((tmp_path / "figures.json").read_text())
    assert {name: name_of(svg) for name, svg in found.items()} == {
        name: name_of(svg) for name, svg in svgs.items()
    }
