"""Agreement: what passes, what fails, and that nothing is concluded from too little."""

import io

import numpy as np
import pandas as pd
import pyarrow as pa
from pyarrow import csv

from scripts.lib.agreement import agree, verdicts
from scripts.lib.tables import same_keys

RULE = {"level": "equivalent", "min_pairs": 10, "not_worse": {"w1": 0.1}, "reported": ["epochs"]}
RULE |= {"equivalent": {"mmd": 0.1}, "close": {"loss": 1e-5}}


def runs(shift=0.0, gain=0.0, loss=0.0, pairs=20, arm_status="ok", where=(100, 500)):
    rng = np.random.default_rng(5)
    rows = []
    for n in where:
        for rep in range(pairs):
            base = {"law": "normal", "n": n, "rep": rep, "status": "ok", "epochs": 10}
            w1, mmd, noise = rng.normal(1, 0.05), rng.normal(1, 0.05), rng.normal(0, 0.02)
            rows.append(base | {"arm": "ref", "w1": w1, "mmd": mmd, "loss": 1.0})
            status = arm_status if rep == 0 else "ok"
            at_500 = gain if n == 500 else 0.0
            worse = {"w1": w1 * (1 + shift - at_500) + noise, "mmd": mmd + noise}
            rows.append(base | {"arm": "new", "status": status, "loss": 1.0 + loss} | worse)
    return pd.DataFrame(rows)


def verdict(table, rule=RULE):
    options = {"reference": "ref", "split": "n", "axes": ["law", "n", "rep"]}
    rows = agree(table, "new", options | {"arms": {"new": rule}})
    table = io.BytesIO()
    csv.write_csv(pa.Table.from_pylist(same_keys(rows)), table)
    return verdicts(pd.read_csv(io.BytesIO(table.getvalue())))["new"]


def test_an_arm_inside_all_margins_agrees():
    assert verdict(runs()) == (True, "")


def test_an_arm_outside_a_margin_fails_with_the_metric_and_the_place():
    passed, reason = verdict(runs(shift=0.2))
    assert not passed
    assert "w1 (not_worse) at n = 100" in reason


def test_being_better_is_not_being_worse():
    assert verdict(runs(shift=-0.3))[0]


def test_a_gain_in_one_place_does_not_pay_for_a_loss_in_another():
    passed, reason = verdict(runs(shift=0.2, gain=0.8))
    assert not passed
    assert "n = 100" in reason
    assert "n = 500" not in reason


def test_a_difference_above_the_tolerance_fails_a_close_metric():
    assert verdict(runs(loss=5e-6))[0]
    assert not verdict(runs(loss=2e-5))[0]


def test_too_few_pairs_conclude_nothing():
    passed, reason = verdict(runs(pairs=9))
    assert not passed
    assert "9 pairs, 10 needed" in reason


def test_a_unit_that_only_the_reference_finished_fails_the_arm():
    passed, reason = verdict(runs(arm_status="diverged"))
    assert not passed
    assert "1 units with unequal status" in reason


def test_an_arm_without_common_units_fails():
    table = runs()
    table.loc[table["arm"] == "new", "rep"] += 100
    passed, reason = verdict(table)
    assert not passed
    assert "no unit that both arms computed" in reason


def test_another_protocol_is_never_comparable_even_if_its_numbers_agree():
    passed, reason = verdict(runs(), RULE | {"level": "protocol"})
    assert not passed
    assert "never a speed-up" in reason
