"""Figures and chapter of the ablation: every number can be read, nothing comes from outside."""

import json
import re
import subprocess
import sys
from xml.etree import ElementTree

import pandas as pd
import pytest

from scripts.lib.page_study import Told
from scripts.lora_ablation.chapter import SHOWN
from scripts.lora_ablation.draw import drawn as drawn_by_stage
from scripts.lora_ablation.draw import shown_by_class
from scripts.lora_ablation.outcome.charts import (
    accuracy_by_selection,
    class_dots,
    drop_forest,
    learning_curves,
)
from tests.chapters import assert_sound, rendered, said, shown_tables, told
from tests.lora_cells import section
from tests.stages import job_of
from tests.svgs import assert_self_contained, assert_well_formed_and_apart

LAYERS = ["all", "visual", "text", "half0", "half1"]
NAMES = ["stats", "ensemble"]


def spans(rows: list[dict], value: str, low: str, high: str) -> pd.DataFrame:
    """Rows with a value of their own and an interval around it."""
    return pd.DataFrame(
        row | {value: 0.3 + 0.0127 * k, low: 0.2 + 0.0127 * k, high: 0.4 + 0.0127 * k}
        for k, row in enumerate(rows)
    )


@pytest.fixture
def tables() -> dict[str, pd.DataFrame]:
    cells = [{"representation": name, "layers": layers, "share": 100}
             for name in NAMES for layers in LAYERS]  # fmt: skip
    grid = spans(cells, "accuracy", "boot_low", "boot_high")
    grid = grid.assign(chance=0.1, majority=0.15, n_test=201, runs=3, val_accuracy=grid["accuracy"])
    for name in ("wilson_low", "wilson_high", "sd_runs", "train_accuracy", "f1", "epochs"):
        grid[name] = 0.5
    grid[["n_features", "n_kept", "n_parameters"]] = 640
    contrasts = ["all-visual", "all-text", "half-visual"]
    pairs = [{"representation": name, "contrast": one} for name in NAMES for one in contrasts]
    drops = spans(pairs, "drop", "low", "high")
    drops[["relative", "retention", "se_runs", "p", "p_holm"]] = 0.25
    rows = [
        {"representation": name, "label": label} for name in NAMES for label in ("cat", "<dog>")
    ]
    classes = spans(rows, "drop", "low", "high").assign(
        recall_all=0.8125, recall_visual=0.5125, n_test=20
    )
    sizes = [{"representation": name, "n_train": size} for name in NAMES for size in (175, 700)]
    curve = spans(sizes, "accuracy", "boot_low", "boot_high").assign(train_accuracy=0.975)
    complete = pd.DataFrame([cell | {"run": 0, "status": "ok"} for cell in cells])
    return {
        "grid": grid,
        "drops": drops.assign(n_test=201),
        "classes": classes,
        "curve": curve,
        "complete": complete,
    }


def drawn(tables: dict) -> dict[str, str]:
    return drawn_by_stage(*(tables[name] for name in ("grid", "drops", "classes", "curve")))


def name_of(svg: str) -> str:
    """The accessible name of a figure."""
    return ElementTree.fromstring(svg).attrib["aria-label"]


def of(tables: dict | None = None, **known) -> Told:
    """The study as its chapter is told of it."""
    return told("lora_ablation", tables, settings=section().specific(), **known)


def test_figures_are_well_formed_and_share_no_id(tables):
    svgs = drawn(tables)
    assert list(svgs) == ["grid", "drops", "classes", "curve"]
    assert_well_formed_and_apart(svgs.values(), more_ids_than=10)


def test_figures_refer_to_nothing_outside_and_take_their_ink_from_the_page(tables):
    assert_self_contained(drawn(tables).values())


def test_the_accessible_name_has_every_value_with_its_interval(tables):
    alt_texts = {name: name_of(svg) for name, svg in drawn(tables).items()}
    for row in tables["grid"].itertuples():
        words = f"{row.accuracy:.3g} ({row.boot_low:.3g} to {row.boot_high:.3g})"
        assert f"{row.representation} {row.layers}: {words}" in alt_texts["grid"]
    for row in tables["drops"].itertuples():
        words = f"{row.drop:.3g} ({row.low:.3g} to {row.high:.3g})"
        assert (words in alt_texts["drops"]) == (row.contrast != "all-text")
    for row in tables["classes"].itertuples():
        if row.representation == "ensemble":
            words = f"drop {row.drop:.3g} ({row.low:.3g} to {row.high:.3g})"
            assert f"{row.label}: all 0.812, visual 0.512, {words}" in alt_texts["classes"]
    for row in tables["curve"].itertuples():
        words = f"test {row.accuracy:.3g} ({row.boot_low:.3g} to {row.boot_high:.3g})"
        assert f"{row.representation}, {row.n_train} rows: {words}, training" in alt_texts["curve"]


def test_the_same_table_gives_the_same_text(tables):
    assert drawn(tables) == drawn(tables)


def test_marks_stand_where_the_table_says(tables):
    # The text above the line and the tick labels alone do not: move one value, one mark moves.
    moved = tables["grid"].copy()
    moved.loc[1, ["accuracy", "boot_low", "boot_high"]] += 0.05
    one, other = (
        re.findall(r'<use [^>]*x="([\d.]+)" y="([\d.]+)" style="fill: var\(--first\)', svg)
        for svg in (accuracy_by_selection(tables["grid"]), accuracy_by_selection(moved))
    )
    assert [a != b for a, b in zip(one, other, strict=True)][:2] == [True, False]


def test_nothing_to_draw_is_an_empty_string(tables):
    empty = {name: table.iloc[:0] for name, table in tables.items()}
    assert drawn(empty) == dict.fromkeys(["grid", "drops", "classes", "curve"], "")
    one_size = tables["curve"][tables["curve"]["n_train"] == 700]
    assert learning_curves(one_size) == ""
    assert class_dots(tables["classes"], "spectral") == ""
    assert drop_forest(tables["drops"].assign(contrast="all-half0")) == ""


def test_without_visual_tensors_the_drop_to_another_part_is_drawn(tables):
    only_text = tables["drops"][tables["drops"]["contrast"] == "all-text"]
    assert "all minus text" in drop_forest(only_text)
    assert "visual" not in drop_forest(only_text)
    classes = tables["classes"].rename(columns={"recall_visual": "recall_text"})
    assert "text 0.5" in class_dots(classes, "ensemble")


def test_missing_intervals_and_cells_are_drawn_without_them(tables):
    grid = tables["grid"].drop(index=[1, 7])
    grid[["boot_low", "boot_high"]] = float("nan")
    assert "stats visual" not in name_of(accuracy_by_selection(grid))
    drops = tables["drops"].drop(index=2).assign(low=float("nan"), high=float("nan"))
    assert name_of(drop_forest(drops)).count("random halves") == 1
    curve = tables["curve"].assign(boot_low=float("nan"), boot_high=float("nan"))
    assert learning_curves(curve)


def test_the_class_figure_shows_the_ensemble_else_the_best_on_validation(tables):
    grid, classes = tables["grid"], tables["classes"]
    assert shown_by_class(grid, classes) == "ensemble"
    rename = {"ensemble": "rank_based"}
    grid, classes = grid.replace(rename), classes.replace(rename)
    assert shown_by_class(grid, classes) == "rank_based"
    grid.loc[grid["representation"] == "stats", "val_accuracy"] = 0.99
    assert shown_by_class(grid, classes) == "stats"
    assert shown_by_class(grid, classes.iloc[:0]) == ""


def test_the_stage_writes_one_file_with_all_figures(tables, tmp_path):
    files = {name: tmp_path / f"{name}.csv" for name in ("grid", "drops", "classes", "curve")}
    for name, path in files.items():
        tables[name].to_csv(path, index=False)
    job = job_of({}, files, {"figures": tmp_path / "figures.json"})
    command = [sys.executable, "-m", "scripts.lora_ablation.draw", job]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "figures.json").read_text())
    assert {name: name_of(svg) for name, svg in found.items()} == {
        name: name_of(svg) for name, svg in drawn(tables).items()
    }


def test_the_chapter_prints_tables_and_figures_that_are_there(tables):
    legacy = {"repair": "clone", "cell": "stats/all", "accuracy_repaired": 0.5}
    legacy |= {"accuracy_legacy": 0.4567, "difference": 0.0433, "note": "<b>"}
    study = of({**tables, "repairs": pd.DataFrame([legacy])})
    text = rendered(study, drawn(tables))
    assert text.count("<svg") == text.count("<figure>") == 4
    found = said(study)
    assert found.facts["complete"] == {"all": 10, "finished": 10, "lost": []}
    assert found.alarms == []
    assert found.tables["repairs"].texts == [
        ["clone", "stats/all", "0.500", "0.457", "0.0433", "<b>"]
    ]
    assert shown_tables(text) == {
        f"lora_ablation-{name}-table" for name in ("grid", "drops", "repairs")
    }
    assert "&lt;b&gt;" in text
    assert "<b>" not in text
    assert_sound(text)


def test_runs_that_did_not_finish_are_an_alarm(tables):
    complete = tables["complete"].copy()
    complete.loc[3, "status"] = "diverged"
    found = said(of({"complete": complete}))
    (alarm,) = found.alarms
    assert "9 of 10 runs" in alarm.text
    assert "stats/half0/100/0 (diverged)" in alarm.text
    many = pd.concat([complete.assign(status="missing")] * 5, ignore_index=True)
    assert len(said(of({"complete": many})).facts["complete"]["lost"]) == SHOWN + 1


@pytest.mark.parametrize(
    ("beyond", "verdict"),
    [
        ((0.05, 0.01, 0.09), "more"),
        ((-0.05, -0.09, -0.01), "less"),
        ((0.0, -0.1, 0.1), "undecided"),
    ],
)
def test_a_drop_is_held_against_the_loss_of_half_of_the_tensors(tables, beyond, verdict):
    drops = tables["drops"].copy()
    control = (drops["representation"] == "ensemble") & (drops["contrast"] == "half-visual")
    drops.loc[control, ["drop", "low", "high"]] = beyond
    (found,) = said(of({**tables, "drops": drops})).findings
    lost = drops.query("representation == 'ensemble' and contrast == 'all-visual'").iloc[0]
    assert found.verdict == verdict
    assert (found.value, found.low, found.high) == (lost["drop"], lost["low"], lost["high"])
    alone = drops[drops["contrast"] == "all-visual"]
    (found,) = said(of({**tables, "drops": alone})).findings
    assert found.verdict == "falls"


@pytest.mark.parametrize(("low", "verdict"), [(0.15, "no better than guessing"), (0.16, "falls")])
def test_who_tells_no_classes_apart_has_nothing_to_lose(tables, low, verdict):
    """The larger of chance, 0.1, and the share of the most frequent class, 0.15, is guessing."""
    grid = tables["grid"].assign(wilson_low=low)
    alone = tables["drops"].query("contrast == 'all-visual'")
    (found,) = said(of({**tables, "grid": grid, "drops": alone})).findings
    full = grid.query("representation == 'ensemble' and layers == 'all'").iloc[0]
    assert found.verdict == verdict
    assert (found.value == full["accuracy"]) == (verdict != "falls")


def test_other_networks_have_another_part_in_place_of_attn1(tables):
    drops = tables["drops"].assign(
        contrast=tables["drops"]["contrast"].str.replace("visual", "values")
    )
    other = said(of({**tables, "drops": drops}))
    assert (other.facts["part"], other.facts["unet"]) == ("values", False)
    assert "attn2" not in other.findings[0].text
    assert [marked for marked, _ in other.tables["drops"].body].count(True) == 4
    usual = said(of(tables))
    assert (usual.facts["part"], usual.facts["unet"]) == ("visual", True)
    assert "attn2" in usual.findings[0].text
    assert_sound(rendered(of({**tables, "drops": drops})))


def test_how_the_data_were_read_is_told(tables):
    read = pd.DataFrame({"what": ["network"], "how": ["a UNet"]})
    study = of({**tables, "data": read})
    assert said(study).tables["reading"].texts == [["network", "a UNet"]]
    assert "lora_ablation-reading-table" in shown_tables(rendered(study))


def test_generated_adapters_are_said_to_be_so(tables):
    assert said(of(tables)).facts["synthetic"]
    real = told(
        "lora_ablation", tables, settings={"source": "own", "sources": {"own": {"kind": "hub"}}}
    )
    assert not said(real).facts["synthetic"]
    assert len(said(real).limits) == len(said(of(tables)).limits) - 1


def test_the_chapter_stands_without_any_table(tables):
    for study in (of(), of({name: table.iloc[:0] for name, table in tables.items()})):
        text = rendered(study)
        assert "<svg" not in text
        assert shown_tables(text) == set()
        assert said(study).findings[0].value is None
        assert_sound(text)
