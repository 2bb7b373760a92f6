"""Streams, files, tables, units, statistics: the promises that the stages rely on."""

import json
import math

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from scipy import stats as scipy_stats

from scripts.lib.config import read_settings
from scripts.lib.contract import Study, check_contract
from scripts.lib.faults import ConfigError, ContractError
from scripts.lib.page import extras, only
from scripts.lib.plan import Planned, PlannedWorkload, turns
from scripts.lib.run_rows import read_runs, write_runs
from scripts.lib.sections import StudySettings, Summary
from scripts.lib.seeds import numpy_rng, seed63, stream
from scripts.lib.spec import canonical, digest
from scripts.lib.stats import mean, paired_interval, paired_ratio, proportion
from scripts.lib.table_files import write_table
from scripts.spine.aggregate import summarise

ROW = {"study": "s", "arm": "a", "rep": 0, "seed": 1, "status": "ok"}
ROW |= {"fit_s": 1.0, "cpu_s": 1.0, "threads": 1, "device": "cpu"}


def test_a_stream_depends_on_every_label_and_its_type():
    labels = [("s", "normal", 100, 3, "data"), ("s", "normal", 100, 3, "init")]
    labels += [("s", "normal", 100, 4, "data"), ("s", "normal", "100", 3, "data")]
    labels += [("t", "normal", 100, 3, "data"), ("s", 100, "normal", 3, "data")]
    seeds = [seed63(stream(42, *label)) for label in labels]
    assert len(set(seeds)) == len(labels)
    assert seed63(stream(43, *labels[0])) not in seeds


def test_a_stream_is_the_same_in_every_process_and_session():
    assert seed63(stream(42, "engression", "normal", 100, 0)) == 480313963672126154
    assert numpy_rng(42, "a", 1).random() == 0.33996862998379096


def test_seeds_fit_a_signed_64_bit_column():
    assert all(0 <= seed63(stream(0, rep)) < 2**63 for rep in range(1000))


def test_a_spec_has_one_text_whatever_the_order_of_its_keys():
    assert canonical({"b": 1, "a": [1, 2]}) == canonical({"a": [1, 2], "b": 1})
    assert digest({"a": 1, "b": 2}) != digest({"a": 2, "b": 1})
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical({"lr": math.nan})


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ([], "no rows"),
        ([{k: v for k, v in ROW.items() if k != "seed"}], "column 'seed' is missing"),
        ([ROW | {"status": "done"}], "status is 'done'"),
        ([ROW, ROW], "two rows have the same arm, rep"),
    ],
)
def test_rows_outside_the_contract_are_refused_and_nothing_is_written(tmp_path, rows, sentence):
    with pytest.raises(ContractError, match=sentence):
        write_runs(tmp_path / "runs.parquet", rows, ["rep"])
    assert list(tmp_path.iterdir()) == []


def test_a_failed_unit_is_a_row_with_nulls(tmp_path):
    rows = [ROW | {"status": "failed", "fit_s": None}, ROW | {"rep": 1, "mmd": 0.5}]
    write_runs(tmp_path / "runs.parquet", rows, ["rep"])
    table = read_runs(tmp_path / "runs.parquet", ["rep"])
    assert table["mmd"].to_pylist() == [None, 0.5]


def test_equal_tables_are_equal_files(tmp_path):
    for name in ("a", "b"):
        write_table(tmp_path / name, {"x": [1.0, 2.0]}, spec={"k": 1})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert pq.read_table(tmp_path / "a")["x"].to_pylist() == [1.0, 2.0]


def test_the_mean_has_the_standard_error_of_the_mean():
    values = np.random.default_rng(1).normal(3, 2, 400)
    found = mean(values)
    assert found.mcse == pytest.approx(scipy_stats.sem(values))
    assert found.low == pytest.approx(found.value - 1.959964 * found.mcse)
    assert math.isnan(mean([1.0]).mcse)


def test_a_share_of_none_in_ten_has_an_honest_upper_bound():
    found = proportion(0, 10)
    assert found.value == found.mcse == 0
    assert found.high == pytest.approx(0.278, abs=5e-4)


def test_the_paired_interval_covers_the_truth_nine_times_in_ten():
    rng = np.random.default_rng(2)
    intervals = [paired_interval(rng.normal(1, 3, 6)) for _ in range(2000)]
    covered = sum(i.low <= 1 <= i.high for i in intervals)
    assert abs(covered - 1800) < 4 * math.sqrt(2000 * 0.09)


def test_the_ratio_is_slower_over_faster_and_its_interval_holds_it():
    rng = np.random.default_rng(3)
    drift = np.linspace(1, 2, 9)
    slower, faster = 6 * drift * rng.normal(1, 0.02, 9), 2 * drift * rng.normal(1, 0.02, 9)
    found = paired_ratio(slower[:, None], faster[:, None])
    assert found.low < 3 < found.high
    assert found.high - found.low < 1.0


def test_an_aa_interval_covers_one():
    rng = np.random.default_rng(4)
    rounds = rng.lognormal(0, 0.1, (400, 2, 5, 1))
    found = [paired_ratio(a, b, draws=500) for a, b in rounds]
    assert sum(f.low <= 1 <= f.high for f in found) >= 0.9 * 400


CLAIM = {"level": "rounding", "min_pairs": 2, "close": {"error": 0.1}}
SLOW = {"about": "Slow.", "role": "reference"}
FAST = {"about": "Fast.", "role": "result", "claim": CLAIM}


def sections(**changes) -> dict:
    """The sections of a study that the spine reads."""
    workload = {"rounds": 1, "contestants": ["slow", "again"]}
    return {
        "arms": {"slow": SLOW, "fast": FAST},
        "agreement": {"strata": "n"},
        "summary": {"means": ["error"], "proportions": []},
        "measure": {
            "workers": 2,
            "contestants": {"again": {"arm": "slow"}},
            "workloads": {"main": workload},
            "compare": {"baseline": "slow"},
        },
        "report": {
            "title": "S",
            "figure": {"metric": "error", "label": "error", "panel": "law", "x": "n"},
            "table": ["error"],
            "phases": ["fit"],
            "phases_of": "main",
        },
    } | changes


def check(config: dict, axes: tuple[str, ...] = ("law", "n", "rep")) -> Study:
    settings = read_settings(StudySettings, config, "s")
    study = Study("s", settings, list(axes), {"error": "number"}, ["fit"])
    check_contract(study)
    return study


@pytest.mark.parametrize(
    ("section", "key", "value", "place"),
    [
        ("arms", "fast", FAST | {"claim": CLAIM | {"close": {"eror": 1.0}}}, "close is 'eror'"),
        ("measure", "contestants", {"again": {"arm": "x"}}, "measure.contestants.again.arm is 'x'"),
        (
            "measure",
            "workloads",
            {"main": {"rounds": 1, "contestants": ["fats"]}},
            "measure.workloads.main.contestants is 'fats' (did you mean 'fast'?)",
        ),
        (
            "measure",
            "compare",
            {"baseline": "fats"},
            "measure.compare.baseline is 'fats'",
        ),
        ("report", "phases_of", "man", "report.phases_of is 'man' (did you mean 'main'?)"),
    ],
)
def test_names_that_the_spine_reads_must_exist_in_the_study(section, key, value, place):
    check(sections())
    wrong = sections()
    wrong[section] |= {key: value}
    with pytest.raises(ConfigError) as told:
        check(wrong)
    assert place in str(told.value)
    assert "Use one of: " in str(told.value)


def test_agreement_is_tested_along_an_axis_of_the_study():
    check(sections())
    with pytest.raises(ConfigError, match=r"s\.agreement\.strata is 'n'.*Use one of: law, rep\."):
        check(sections(), axes=("law", "rep"))


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        ("level", "round", "s.arms.fast.claim.level is 'round' (did you mean 'rounding'?)"),
        ("close", {"d": -1}, "s.arms.fast.claim.close.d is -1; it must be at least 0."),
        ("clse", {}, "s.arms.fast.claim.clse is no key of this workflow (did you mean 'close'?)"),
        ("min_pairs", 1, "s.arms.fast.claim.min_pairs is 1; it must be at least 2."),
    ],
)
def test_a_mistake_in_what_an_arm_claims_is_one_sentence(key, value, sentence):
    with pytest.raises(ConfigError) as told:
        check(sections(arms={"slow": SLOW, "fast": FAST | {"claim": CLAIM | {key: value}}}))
    assert str(told.value).startswith(f"Config: {sentence}")
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("section", "key", "now"),
    [
        ("agreement", "split", "s.agreement.strata"),
        ("agreement", "arms", "s.arms.<name>.claim"),
        ("agreement", "reference", "s.arms.<name>.role"),
        ("report", "arm", "s.arms.<name>.role"),
    ],
)
def test_a_key_that_had_another_name_is_told_the_new_one(section, key, now):
    wrong = sections()
    wrong[section] |= {key: "x"}
    with pytest.raises(ConfigError, match=rf"s\.{section}\.{key} has another name now: {now}\.$"):
        check(wrong)
    with pytest.raises(ConfigError, match=r"s\.run has another name now: s\.arms\.<name>\.run\.$"):
        check(sections(run={}))


@pytest.mark.parametrize("place", ["arms", "contestants"])
def test_nobody_else_has_the_name_of_the_twin(place):
    wrong = sections()
    if place == "arms":
        wrong["arms"] |= {"slow_again": FAST | {"role": "control"}}
    else:
        wrong["measure"]["contestants"] |= {"slow_again": {"arm": "slow"}}
    with pytest.raises(ConfigError, match="slow_again, which is the name of the twin of slow"):
        check(wrong)


def test_who_takes_part_in_a_workload_follows_from_the_roles():
    others = {"about": "Other.", "role": "control"}, {"about": "Same.", "role": "implementation"}
    arms = {"slow": SLOW, "wrong": others[0], "same": others[1], "fast": FAST}
    measure = sections()["measure"] | {"workloads": {"main": {"rounds": 1}}}
    settings = check(sections(arms=arms, measure=measure)).settings
    workload = settings.measure.workloads["main"]
    assert settings.taking_part(workload) == ["slow", "slow_again", "same", "fast"]
    named = workload.model_copy(update={"contestants": ["fast"]})
    assert settings.taking_part(named) == ["slow", "slow_again", "fast"], "never without a twin"
    assert settings.contestants["slow_again"] == settings.contestants["slow"]
    assert settings.reference == "slow"
    assert settings.result == "fast"


def test_the_page_shows_only_the_rows_that_are_wanted():
    table = pd.DataFrame({"stage": ["train", "load", "train"], "share": [100, 100, 50]})
    assert only(table, {}) is table
    assert only(table, {"stage": "train"}).index.tolist() == [0, 2]
    assert only(table, {"stage": "train", "share": 100}).index.tolist() == [0]
    assert only(table, {"stage": "nothing"}).empty


def test_a_study_s_own_tables_and_figures_reach_its_chapter(tmp_path):
    paths = [tmp_path / name for name in ("grid.csv", "a.json", "b.json")]
    paths[0].write_text("label,drop\ncat,0.5\ndog,\n")
    paths[1].write_text(json.dumps({"heat": "<svg>1</svg>"}))
    paths[2].write_text(json.dumps({"curve": "<svg>2</svg>"}))
    found = extras(paths)
    assert found["tables"] == {
        "grid": [{"label": "cat", "drop": 0.5}, {"label": "dog", "drop": None}]
    }
    assert found["figures"] == {"heat": "<svg>1</svg>", "curve": "<svg>2</svg>"}
    assert extras([]) == {"tables": {}, "figures": {}}


def test_a_table_without_rows_is_shown_as_none_whether_it_has_a_header_or_not(tmp_path):
    (tmp_path / "svd.csv").write_text("\n")
    (tmp_path / "grid.csv").write_text("arm,accuracy\n")
    found = extras([tmp_path / "svd.csv", tmp_path / "grid.csv"])
    assert found["tables"] == {"svd": [], "grid": []}


def test_every_measured_call_says_which_part_of_the_study_it_belongs_to():
    entry = Planned(contestant="a", arm="a", workers=1, threads=1, job={"arm": "a"})
    common = {"trace_memory": False, "rounds": [[1], [2]], "contestants": [entry]}
    common |= {"budget_s": 1.0, "baseline": "a", "again": "a_again"}
    plan = [
        PlannedWorkload(workload=name, where=where, **common)
        for name, where in (("w", "train"), ("v", ""))
    ]
    calls = [call for workload in plan for n in (1, 2) for call in turns(workload, n)]
    assert [(call.workload, call.where, call.round) for call in calls] == [
        ("w", "train", 1), ("w", "train", 2), ("v", "", 1), ("v", "", 2)
    ]  # fmt: skip
    assert [call.units for call in calls] == [[1], [2], [1], [2]]


def test_the_summary_is_over_the_units_that_have_the_metric():
    label = {"arm": "a", "stage": "train", "status": "ok"}
    rows = [label | {"x": x, "y": x > 1} for x in (1.0, 3.0)]
    rows += [label | {"stage": "load", "checksum": 7.0}, label, label | {"status": "failed"}]
    summary = Summary(means=["x", "checksum"], proportions=["y"])
    found = summarise(pd.DataFrame(rows), ["stage"], summary)
    assert [(row["stage"], row["metric"], row["value"], row["units"]) for row in found] == [
        ("train", "x", 2.0, 2),
        ("train", "y", 0.5, 2),
        ("load", "checksum", 7.0, 1),
    ]
    assert [row["n_not_ok"] for row in found] == [1, 1, 0]
