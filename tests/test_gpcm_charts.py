"""Figures of the outcome: every number can be read, nothing comes from outside."""

import json
import re
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

from scripts.deep_gpcm.draw import CHARTS, drawn
from scripts.deep_gpcm.outcome.ladder_charts import learning_curves, name_ends, ratio_bars
from scripts.deep_gpcm.outcome.score_charts import nll_by_arm
from scripts.deep_gpcm.outcome.truth_charts import recovery_scatter
from tests.gpcm_outcome import outcome
from tests.stages import run_stage
from tests.svgs import assert_self_contained, assert_well_formed_and_apart


@pytest.fixture
def tables() -> dict[str, pd.DataFrame]:
    return outcome()


@pytest.fixture(scope="module")
def svgs() -> dict[str, str]:
    return drawn(outcome())


def name_of(svg: str) -> str:
    """The accessible name of a figure."""
    return ElementTree.fromstring(svg).attrib["aria-label"]


def fills(svg: str, colour: str) -> int:
    """How many patches have this colour."""
    return len(re.findall(rf'<path [^>]*style="[^"]*fill: var\(--{colour}\)[^"]*opacity', svg))


def test_every_table_has_a_figure_and_figures_are_well_formed_and_share_no_id(svgs):
    assert list(svgs) == [{"points": "recovery"}.get(name, name) for name in CHARTS]
    assert_well_formed_and_apart(svgs.values(), more_ids_than=20)


def test_figures_refer_to_nothing_outside_and_take_their_ink_from_the_page(svgs):
    assert_self_contained(svgs.values())


def test_the_accessible_names_have_the_numbers_of_the_tables(tables, svgs):
    alt_text = {name: name_of(svg) for name, svg in svgs.items()}
    for row in tables["scores"].itertuples():
        sd = "" if np.isnan(row.nll_sd) else f" (sd {row.nll_sd:.3f})"
        assert f"{row.data} {row.arm}: {row.nll:.3f}{sd}" in alt_text["scores"]
    for row in tables["calibration"].dropna().to_dict("records"):
        words = f"{row['confidence']:.2f} {row['accuracy']:.2f} ({row['count']})"
        assert words in alt_text["calibration"]
    assert "X fused: 0: 75%, 25%; 1: 10%, 90%" in alt_text["confusion"]
    assert "X fused theta: n 3, r 1.00, bias 0.10, RMSE 0.10" in alt_text["recovery"]
    assert "X item 4 fused: 0.25; X item 4 gpcm: 0.05" in alt_text["categories"]
    assert "X fused: 1.00 at 0, 0.50 at 1, 0.25 at 2" in alt_text["convergence"]
    assert "X fused: loss 1.500 to 1.250, validation NLL 1.600 to 1.400" in alt_text["learning"]
    assert "largest difference of loss 1.0e-07" in alt_text["learning"]
    assert "step fused: 12.5 (11.0 to 14.0), agrees" in alt_text["ladder"]


def test_the_same_tables_give_the_same_text(tables, svgs):
    assert drawn(tables) == svgs


def test_tables_without_rows_have_no_figure(tables):
    empty = {name: table.iloc[:0] for name, table in tables.items()}
    assert set(drawn(empty).values()) == {""}


def test_an_arm_that_fails_agreement_has_a_badge_and_no_bar(tables):
    svg = ratio_bars(tables["ladder"])
    assert "step no_erase: no ratio, FAILS" in name_of(svg)
    assert "no ratio, FAILS" in re.sub(r'aria-label="[^"]*"', "", svg)
    assert fills(svg, "first") == 1
    passing = tables["ladder"].copy()
    failed = passing["contestant"] == "no_erase"
    passing.loc[failed, ["ratio", "low", "high"]] = [90.0, 80.0, 95.0]
    passing.loc[failed, "agrees"] = True
    assert fills(ratio_bars(passing), "first") == 2


def test_the_repetition_of_the_baseline_is_no_agreement_and_the_untested_is_named(tables):
    alt_text = name_of(ratio_bars(tables["ladder"]))
    assert "step reference_again: 1.02 (0.950 to 1.10), A/A" in alt_text
    assert "step tables: no ratio, not tested" in alt_text
    assert "step reference:" not in alt_text


def test_bars_are_as_long_as_the_logarithm_of_the_ratio(tables):
    def reach(ladder: pd.DataFrame) -> float:
        path = re.search(r'<path d="([^"]*)"[^>]*style="[^"]*fill: var\(--first\)[^"]*opacity',
                         ratio_bars(ladder)).group(1)  # fmt: skip
        x = [float(word) for word in re.findall(r"[ML] ([\d.]+) ", path)]
        return max(x) - min(x)

    squared = tables["ladder"].copy()
    fused = squared["contestant"] == "fused"
    squared.loc[fused, "ratio"] = 12.5**0.5
    assert reach(tables["ladder"]) == pytest.approx(2 * reach(squared), rel=1e-3)


def test_an_arm_that_scores_padding_has_an_open_mark_at_the_place_of_its_answers(tables):
    table = tables["scores"]
    assert "unmasked: 0.725 (sd 0.031), of the answers alone 1.111" in name_of(nll_by_arm(table))
    assert "of the answers alone" not in name_of(nll_by_arm(table[table["arm"] != "unmasked"]))
    hollow = [len(re.findall(r'<use [^>]*fill-opacity: 0;', nll_by_arm(part)))
              for part in (table, table[table["arm"] != "unmasked"])]  # fmt: skip
    assert hollow == [1, 0]
    order = re.findall(r">(fused|gpcm|bayes|unmasked)</text>", nll_by_arm(table))
    assert order == ["bayes", "gpcm", "fused", "unmasked", "fused"]


def test_the_ceiling_is_dashed_only_where_there_is_one(tables):
    def dashes(table: pd.DataFrame) -> int:
        return nll_by_arm(table).count("stroke-dasharray")

    table = tables["scores"]
    assert dashes(table) == 1
    assert dashes(table[table["role"] != "ceiling"]) == 0


def test_marks_stand_where_the_table_says(tables):
    moved = tables["scores"].copy()
    moved.loc[moved["arm"] == "gpcm", "nll"] += 0.02
    one, other = (
        [re.findall(rf'<use [^>]*x="([\d.]+)" [^>]*fill: var\(--{c}\)', nll_by_arm(table))
         for c in ("first", "second")] for table in (tables["scores"], moved)
    )  # fmt: skip
    assert one[0] == other[0]
    assert one[1] != other[1]


def test_estimates_beyond_the_frame_are_counted_and_lie_on_its_edge(tables):
    points = tables["points"].copy()
    points.loc[points.index[0], "estimate"] = 50.0
    alt_text = name_of(recovery_scatter(points))
    assert "1 beyond the frame" in alt_text
    assert "beyond" not in name_of(recovery_scatter(tables["points"]))


def test_panels_tell_correlation_bias_and_error_of_their_points():
    points = pd.DataFrame({"data": "X", "arm": "fused", "parameter": "alpha",
                           "true": [-1.0, 0.0, 1.0], "estimate": [-0.5, 1.5, 0.5]})  # fmt: skip
    alt_text = name_of(recovery_scatter(points))
    assert "X fused alpha: n 3, r 0.50, bias 0.50, RMSE 0.96" in alt_text


def test_one_point_has_no_correlation(tables):
    alt_text = name_of(recovery_scatter(tables["points"].iloc[:1]))
    assert "n 1, r not defined" in alt_text


def test_curves_that_leave_the_reference_are_named_and_the_others_lie_on_it(tables):
    text = re.sub(r'aria-label="[^"]*"', "", learning_curves(tables["learning"]))
    # At the end of the curves of the loss and of the validation NLL, not of those that coincide.
    assert text.count(">no_erase<") == 2
    assert text.count(">fused<") == 2  # on Y, which has no reference
    assert re.findall(r">(reference|coincides|differs|no reference here)<", text) == [
        "reference", "coincides", "differs", "no reference here",
    ]  # fmt: skip


def test_names_at_the_ends_of_curves_do_not_overlap():
    from matplotlib.figure import Figure

    axes = Figure().subplots()
    axes.set_ylim(0, 1)
    name_ends(axes, 10, [(0.5, "c"), (0.51, "b"), (0.1, "a")])
    heights = {text.get_text(): text.xy[1] for text in axes.texts}
    assert heights["a"] == 0.1
    assert heights["c"] == 0.5
    assert heights["b"] - heights["c"] == pytest.approx(0.075)


def test_the_stage_writes_one_file_with_all_figures(monkeypatch, tables, svgs, tmp_path):
    read = {name: tmp_path / f"{name}.csv" for name in CHARTS}
    for name, path in read.items():
        tables[name].to_csv(path, index=False)
    made = {"figures": tmp_path / "figures.json"}
    assert run_stage(monkeypatch, "deep_gpcm/draw.py", {}, read, made) is None
    found = json.loads((tmp_path / "figures.json").read_text())
    assert {name: name_of(svg) for name, svg in found.items()} == {
        name: name_of(svg) for name, svg in svgs.items()
    }
