"""Learning curves and the ladder of implementations, on frames known by hand."""

import numpy as np
import pandas as pd
import pytest

from scripts.deep_gpcm.outcome.curves import learning
from scripts.deep_gpcm.outcome.step_costs import ladder, loss_differences
from scripts.deep_gpcm.specs import LadderJob, MeasuredStep
from scripts.lib.table_files import write_table
from tests.gpcm_units import history, ready, run_rows
from tests.stages import run_stage


def learned(*histories: pd.DataFrame) -> pd.DataFrame:
    table = pd.concat(histories)
    units = table[["data", "arm", "fold"]].drop_duplicates().itertuples(index=False, name=None)
    return learning(ready(table, run_rows(list(units))), "reference")


def test_curves_are_means_over_the_folds_that_all_arms_share_with_the_reference():
    found = learned(
        history("fused", 0, [3.0, 2.0]), history("fused", 1, [5.0, 2.5]),
        history("fused", 2, [100.0, 100.0]),
        history("reference", 0, [3.0, 1.75]), history("reference", 1, [5.0, 2.0]),
    )  # fmt: skip
    fused = found[found["arm"] == "fused"]
    assert fused["folds"].tolist() == [2, 2]
    assert fused["loss"].tolist() == [4, 2.25]
    assert fused["val_nll"].tolist() == [8, 4.5]
    assert fused["val_qwk"].tolist() == pytest.approx([0.05, 0.05])
    # The largest difference of a fold, not that of the means.
    assert fused["loss_difference"].tolist() == [0, 0.5]
    assert found.loc[found["arm"] == "reference", "loss_difference"].tolist() == [0, 0]


def test_without_a_reference_all_folds_count_and_there_is_no_difference():
    found = learned(
        history("fused", 0, [3.0]), history("fused", 1, [5.0]), history("adamw", 0, [2.0]),
        history("reference", 0, [1.0], "Y"), history("fused", 0, [1.5], "Y"),
    )  # fmt: skip
    here = found[found["data"] == "X"].set_index("arm")
    assert here.loc["fused", "loss"] == 4
    assert here["loss_difference"].isna().all()
    assert found["data"].tolist() == ["Y", "Y", "X", "X"]


def test_an_arm_that_failed_on_a_fold_takes_it_from_all():
    table = pd.concat([history(arm, fold, [1.0 + fold]) for arm in ("reference", "fused")
                       for fold in (0, 1)])  # fmt: skip
    runs = run_rows([(("X"), arm, fold) for arm in ("reference", "fused") for fold in (0, 1)])
    runs.loc[3, "status"] = "diverged"
    found = learning(ready(table, runs), "reference")
    assert found["folds"].tolist() == [1, 1]
    assert found["loss"].tolist() == [1, 1]


def measurements(workload: str, costs: dict[str, list], traced: bool = False) -> pd.DataFrame:
    """Rounds of two steps each; `costs`: seconds (or megabytes) by contestant."""
    rows = []
    for name, values in costs.items():
        for turn, value in enumerate(values, start=1):
            row = {"workload": workload, "where": "X", "contestant": name, "round": turn}
            row |= {"arm": "reference" if name.startswith("ref") else name, "workers": 1}
            row |= {"threads": 1, "fit_s": value, "cpu_s": 2 * value, "n_steps": 2}
            row |= {"call": 1, "minor_faults": 0.0}
            row |= {"units": 1, "units_ok": 1, "tensor_peak_mb": value if traced else np.nan}
            rows.append(row)
    return pd.DataFrame(rows)


def agreement(**arms: tuple) -> pd.DataFrame:
    """A row per arm: (level, passed)."""
    return pd.DataFrame(
        {"arm": arm, "level": level, "where": "data = X", "metric": "early_losses",
         "test": "close", "passed": passed, "note": "largest difference 0.2"}
        for arm, (level, passed) in arms.items()
    )  # fmt: skip


LOSSES = pd.DataFrame(
    [("X", arm, 0, step, loss + 1e-7 * (arm == "fused") * step)
     for arm in ("reference", "fused", "wrong") for step, loss in ((1, 1.5), (2, 1.25))],
    columns=["data", "arm", "fold", "step", "loss"],
)  # fmt: skip
COSTS = {
    "reference": [0.8, 0.8, 0.8],
    "reference_again": [0.8, 0.8, 0.8],
    "fused": [0.1, 0.1, 0.1],
    "wrong": [0.01, 0.01, 0.01],
    "adamw": [0.1, 0.1, 0.1],
}
VERDICTS = {
    "fused": ("rounding", True),
    "wrong": ("rounding", False),
    "adamw": ("protocol", None),
}


def job(contestants: list[str], *workloads: str) -> LadderJob:
    """These contestants in these workloads."""
    steps = [MeasuredStep(workload=name, contestants=contestants) for name in workloads]
    return LadderJob(baseline="reference", again="reference_again", steps=steps)


def climbed(measured: pd.DataFrame, rules: dict = VERDICTS, losses=LOSSES) -> pd.DataFrame:
    names = ["reference", "reference_again", "wrong", "fused", "adamw", "absent"]
    found = ladder(measured, agreement(**rules), losses, job(names, "step", "memory"))
    return found.set_index(["workload", "contestant"])


def test_a_rung_has_milliseconds_per_step_and_the_ratio_to_the_baseline():
    found = climbed(measurements("step", COSTS)).loc[("step", "fused")]
    assert found["fit_ms"] == pytest.approx(50)
    assert found["cpu_ms"] == pytest.approx(100)
    assert found["ratio"] == pytest.approx(8)
    assert found["low"] <= 8 * (1 + 1e-9)
    assert found["high"] >= 8 * (1 - 1e-9)
    assert found["rounds"] == 3
    assert found["agrees"]
    assert found["verdict"] == "less"
    assert found["max_loss_difference"] == pytest.approx(2e-7)
    assert found["common_steps"] == 2
    assert found[["noise_low", "noise_high"]].tolist() == [1, 1]


def test_an_arm_that_fails_agreement_has_no_ratio_however_fast_it_is():
    found = climbed(measurements("step", COSTS)).loc[("step", "wrong")]
    assert found[["ratio", "low", "high"]].isna().all()
    assert found["fit_ms"] == pytest.approx(5)
    assert not found["agrees"]
    assert found["verdict"] == "not comparable"
    assert "largest difference 0.2" in found["reason"]
    untested = climbed(measurements("step", COSTS), {"fused": ("rounding", True)})
    assert np.isnan(untested.loc[("step", "wrong"), "ratio"])
    assert untested.loc[("step", "wrong"), "agrees"] is None
    assert "not tested" in untested.loc[("step", "wrong"), "reason"]
    # The same measurements with a test that passes: the ratio was withheld for the verdict alone.
    passed = climbed(measurements("step", COSTS), VERDICTS | {"wrong": ("rounding", True)})
    assert passed.loc[("step", "wrong"), "ratio"] == pytest.approx(80)


def test_agreement_elsewhere_does_not_count():
    measured = measurements("step", COSTS).assign(where="Y")
    found = climbed(measured).loc[("step", "fused")]
    assert np.isnan(found["ratio"])
    assert pd.isna(found["agrees"])


def test_without_the_twin_that_is_told_there_is_no_ratio():
    told = job(["reference", "fused"], "step").model_copy(update={"again": "absent"})
    found = ladder(measurements("step", COSTS), agreement(**VERDICTS), LOSSES, told)
    assert found[["ratio", "noise_low", "noise_high"]].isna().all(axis=None)


def test_rungs_are_implementations_in_the_order_of_the_contestants():
    found = climbed(measurements("step", COSTS))
    assert [name for _, name in found.index] == ["reference", "reference_again", "wrong", "fused"]
    parallel = measurements("step", COSTS)
    parallel.loc[parallel["contestant"] == "fused", "workers"] = 2
    assert ("step", "fused") not in climbed(parallel).index


def test_the_baseline_and_its_repetition_show_the_noise():
    found = climbed(measurements("step", COSTS))
    assert found.loc[("step", "reference"), ["ratio", "agrees", "verdict"]].isna().all()
    again = found.loc[("step", "reference_again")]
    assert again["ratio"] == 1
    assert again["verdict"] == "no difference found"


def test_traced_memory_is_compared_as_memory_and_has_no_times():
    both = [measurements("step", COSTS), measurements("memory", COSTS, traced=True)]
    found = climbed(pd.concat(both, ignore_index=True))
    memory = found.loc[("memory", "fused")]
    assert memory["quantity"] == "tensor_peak_mb"
    assert memory["tensor_peak_mb"] == pytest.approx(0.1)
    assert memory["ratio"] == pytest.approx(8)
    assert memory[["fit_ms", "cpu_ms"]].isna().all()
    assert np.isnan(found.loc[("step", "fused"), "tensor_peak_mb"])


def test_losses_are_compared_step_by_step_and_what_is_no_number_is_far():
    shorter = LOSSES[~((LOSSES["arm"] == "fused") & (LOSSES["step"] == 2))]
    found = loss_differences(shorter, "reference")
    assert found.loc["fused", "common_steps"] == 1
    assert found.loc["fused", "max_loss_difference"] == pytest.approx(1e-7)
    broken = LOSSES.assign(loss=LOSSES["loss"].where(LOSSES["arm"] != "wrong"))
    assert loss_differences(broken, "reference").loc["wrong", "max_loss_difference"] == np.inf
    other = LOSSES.assign(fold=np.where(LOSSES["arm"] == "fused", 1, 0))
    assert "fused" not in loss_differences(other, "reference").index


def test_nothing_measured_is_a_table_with_a_header():
    asked = job(["fused"], "step")
    found = ladder(measurements("other", COSTS), agreement(**VERDICTS), LOSSES, asked)
    assert len(found) == 0
    assert {"workload", "ratio", "agrees", "max_loss_difference"} <= set(found.columns)


def test_the_ladder_is_written_from_its_files(monkeypatch, tmp_path):
    measured, rules = tmp_path / "measurements.parquet", tmp_path / "agreement.csv"
    write_table(measured, measurements("step", COSTS).to_dict("list"))
    agreement(**VERDICTS).to_csv(rules, index=False)
    files = []
    for arm, rows in LOSSES.groupby("arm"):
        files.append(tmp_path / f"{arm}.parquet")
        write_table(files[-1], rows.to_dict("list"))
    read = {"measurements": measured, "agreement": rules, "losses": files}
    made, asked = {"ladder": tmp_path / "l.csv"}, job(list(COSTS), "step")
    assert run_stage(monkeypatch, "deep_gpcm/ladder.py", asked, read, made) is None
    found = pd.read_csv(tmp_path / "l.csv").set_index("contestant")
    assert found.loc["fused", "ratio"] == pytest.approx(8)
    assert np.isnan(found.loc["wrong", "ratio"])
    assert found.loc["wrong", "agrees"] in (False, "False")
