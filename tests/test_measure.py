"""A measurement stops when it is precise, is made again where it is noisy, and covers the truth."""

import math
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from scripts.lib.comparison import TIMES, half_width
from scripts.lib.plan import Call, Planned, PlannedWorkload
from scripts.lib.stats import paired_ratio
from scripts.lib.timing import others_running
from scripts.lib.workers import fork_servers
from scripts.spine.measure import LEAST, Contestants, measure, rounds

NAMES = ("base", "base_again", "fast")


def workload(most: int = 20, budget_s: float = 1e6, trace: bool = False) -> PlannedWorkload:
    """A baseline, its twin and another arm, of this many rounds at most."""
    labels = {"workers": 1, "threads": 1, "job": {}}
    entries = [
        Planned(contestant=n, arm="fast" if n == "fast" else "base", **labels) for n in NAMES
    ]
    return PlannedWorkload(
        workload="w", where="", trace_memory=trace, budget_s=budget_s, baseline="base",
        again="base_again", rounds=[[["u", n]] for n in range(1, most + 1)], contestants=entries,
    )  # fmt: skip


class Simulated:
    """A machine: each call costs a second of its clock and has the noise that it is given."""

    def __init__(self, noise: float, bias: tuple[float, ...] = (), seed: int = 0):
        self.rng, self.noise, self.bias = np.random.default_rng(seed), noise, list(bias)
        self.now, self.calls = 0.0, []

    def clock(self) -> float:
        return self.now

    def __call__(self, call: Call) -> list[dict]:
        if call.round == 1 and not any(c.round == 1 for c in self.calls[-2:]):
            self.twin = self.bias.pop(0) if self.bias else 1.0  # of this attempt
        self.now += 1.0
        self.calls.append(call)
        cost = {"base": 1.0, "base_again": self.twin, "fast": 0.2}[call.contestant]
        cost *= math.exp(self.rng.normal(0, self.noise))
        row = {"contestant": call.contestant, "arm": call.arm, "round": call.round, "call": 1}
        row |= {"workers": 1, "threads": 1, "tensor_peak_mb": None}
        return [row | dict.fromkeys(TIMES, cost)]


def test_a_calm_machine_needs_the_least_number_of_rounds():
    machine = Simulated(noise=0.001)
    assert {row["round"] for row in rounds(workload(), machine, machine.clock)} == {1, 2, 3}
    assert LEAST == 3


def test_a_noisy_machine_needs_more_rounds_and_stops_when_its_ratios_are_precise():
    machine = Simulated(noise=0.04)
    found = rounds(workload(100), machine, machine.clock)
    last = max(row["round"] for row in found)
    assert LEAST < last < 100
    assert Counter(row["contestant"] for row in found) == dict.fromkeys(NAMES, last)
    sides = [
        np.array([[row["wall_s"]] for row in found if row["contestant"] == name]) for name in NAMES
    ]
    widths = [half_width(paired_ratio(sides[0], side)) for side in sides[1:]]
    assert max(widths) <= 0.05
    before = [half_width(paired_ratio(sides[0][:-1], side[:-1])) for side in sides[1:]]
    assert max(before) > 0.05


@pytest.mark.parametrize(("budget_s", "expected"), [(30.0, 10), (32.0, 10), (1.0, LEAST)])
def test_rounds_end_before_the_budget_but_not_before_there_is_an_interval(budget_s, expected):
    machine = Simulated(noise=2.0)
    found = rounds(workload(100, budget_s), machine, machine.clock)
    assert max(row["round"] for row in found) == expected


def test_there_are_never_more_rounds_than_the_largest_number():
    machine = Simulated(noise=2.0)
    assert max(row["round"] for row in rounds(workload(2), machine, machine.clock)) == 2


def test_where_the_twin_differs_all_of_the_workload_is_measured_once_more():
    machine = Simulated(noise=0.001, bias=(1.3, 1.0))
    found = measure(workload(), machine, machine.clock)
    assert {row["attempt"] for row in found} == {2}
    assert len(machine.calls) == 2 * LEAST * len(NAMES)
    assert len(found) == LEAST * len(NAMES)
    machine = Simulated(noise=0.001, bias=(1.3, 1.3, 1.3))
    found = measure(workload(), machine, machine.clock)
    assert len(machine.calls) == 2 * LEAST * len(NAMES), "twice, and no further time"
    machine = Simulated(noise=0.001)
    assert {row["attempt"] for row in measure(workload(), machine, machine.clock)} == {1}


def sides(rng, n: int, calls: int, noise: float, process: float, ratio: float = 1.0):
    """Costs [rounds, calls] of two contestants with noise of calls and of processes."""
    for factor in (ratio, 1.0):
        shared = rng.normal(0, process, (n, 1)) if process else 0.0
        yield factor * np.exp(rng.normal(0, noise, (n, calls)) + shared)


@pytest.mark.parametrize("process", [0.0, 0.1])
@pytest.mark.parametrize("calls", [1, 3])
@pytest.mark.parametrize("n", [3, 5, 10])
def test_the_interval_of_a_ratio_covers_it_with_and_without_an_effect_of_processes(
    n, calls, process
):
    rng = np.random.default_rng(n * 10 + calls)
    found = [paired_ratio(*sides(rng, n, calls, 0.03, process, 4.0), draws=500) for _ in range(500)]
    # Promised are 95 %; a chance of 1 in 10,000 that the count misses 93 % of them by chance.
    assert sum(f.low <= 4.0 <= f.high for f in found) >= 500 * 0.93 - 3.7 * math.sqrt(500 * 0.065)


def test_an_effect_of_processes_widens_the_interval_and_does_not_bias_the_ratio():
    rng, effect = np.random.default_rng(5), 0.3
    calm = [paired_ratio(*sides(rng, 8, 4, 0.02, 0.0), draws=300) for _ in range(200)]
    moved = [paired_ratio(*sides(rng, 8, 4, 0.02, effect), draws=300) for _ in range(200)]
    width = np.median([half_width(f) for f in moved]) / np.median([half_width(f) for f in calm])
    assert width > 10
    error = effect * math.sqrt(2 / 8 / 200)
    assert abs(np.mean([math.log(f.value) for f in moved])) < 4 * error
    # Calls that were taken for rounds would promise more than they show.
    flat = [
        paired_ratio(*(side.reshape(-1, 1) for side in sides(rng, 8, 4, 0.02, effect)), draws=300)
        for _ in range(200)
    ]
    assert sum(f.low <= 1 <= f.high for f in flat) < 0.8 * 200


def test_drift_from_round_to_round_cancels_and_one_wild_round_moves_little():
    drift = np.linspace(1, 3, 6)[:, None]
    slower, faster = 5 * drift, drift.copy()
    assert paired_ratio(slower, faster)[:4:2] == pytest.approx((5, 5))
    faster[2] *= 10
    assert paired_ratio(slower, faster).value == pytest.approx(5, rel=1e-9)


def test_the_same_measurements_give_the_same_interval():
    pair = list(sides(np.random.default_rng(1), 5, 2, 0.1, 0.1))
    assert paired_ratio(*pair) == paired_ratio(*pair)


STUDY = "tests.measured_study"


def turn(server, contestant: str, workers: int = 1, trace: bool = False, repeats=None, **job):
    units = [["a", 1], ["b", 1], ["c", 1]]
    call = Call("w", "", trace, contestant, contestant, workers, 1, 1, units, job)
    server.ask(call, {"files": [Path("x")]}, repeats)
    return server.reply()


@pytest.fixture(scope="module")
def server():
    with fork_servers([1], STUDY) as servers:
        yield servers[1]


def test_every_turn_is_in_fresh_processes_that_computed_the_same_units_before(server):
    (first,), (second,) = turn(server, "a"), turn(server, "a")
    for timed in (first, second):
        (part,) = timed.parts
        assert [row["unit"] for row in part.rows] == ["a", "b", "c"] * timed.inner_repeats
        assert {row["n_before"] for row in part.rows[:1]} >= {4}, "computed before it was timed"
    pids = [timed.parts[0].rows[0]["pid"] for timed in (first, second)]
    assert len({*pids, os.getpid(), server.process.pid}) == 4
    assert first.parts[0].rows[0]["n_before"] == second.parts[0].rows[0]["n_before"]


def test_a_short_call_is_repeated_as_often_as_is_decided_once(server):
    (timed,) = turn(server, "a")
    assert timed.inner_repeats > 5
    assert turn(server, "a", repeats=4)[0].inner_repeats == 4
    (slow,) = turn(server, "a", sleep_s=0.25)
    assert slow.inner_repeats == 1


def test_units_are_dealt_to_as_many_processes_as_the_contestant_has_workers(server):
    (timed,) = turn(server, "a", workers=2, repeats=1)
    assert [[row["unit"] for row in part.rows] for part in timed.parts] == [["a", "c"], ["b"]]
    assert len({row["pid"] for part in timed.parts for row in part.rows}) == 2
    assert len(turn(server, "a", workers=9, repeats=1)[0].parts) == 3


def test_traced_memory_is_of_one_call_of_the_units(server):
    (timed,) = turn(server, "a", trace=True, megabytes=8)
    assert timed.inner_repeats == 1
    assert timed.parts[0].tensor_peak_mb == pytest.approx(8, rel=0.01)


def test_page_faults_are_those_of_the_timed_call(server):
    few, many = (turn(server, "a", repeats=1, touched=mb)[0].parts[0] for mb in (0, 80))
    assert many.minor_faults - few.minor_faults >= 80 * 2**20 / os.sysconf("SC_PAGE_SIZE") / 600
    assert few.minor_faults < many.minor_faults
    assert few.rss_mb > 10


def test_what_goes_wrong_in_a_measured_process_is_told_and_the_next_turn_is_measured(server):
    with pytest.raises(ValueError, match="no such thing"):
        turn(server, "a", fail="no such thing")
    with pytest.raises(Exception, match="ended with exit code 3"):
        turn(server, "a", exit=3)
    assert turn(server, "a", repeats=1)[0].parts


def test_columns_are_of_the_units_computed_once(server):
    entries = [Planned(contestant=n, arm=n, workers=1, threads=1, job={}) for n in ("a", "b")]
    planned = PlannedWorkload(
        workload="w", where="", trace_memory=False, budget_s=60.0, baseline="a", again="b",
        rounds=[[["a", n], ["b", n]] for n in (1, 2)], contestants=entries,
    )  # fmt: skip
    found = measure(planned, Contestants({1: server}, {}))
    assert [row["round"] for row in found] == [1, 1, 2, 2]
    for name in ("a", "b"):
        own = [row for row in found if row["contestant"] == name]
        assert len({row["inner_repeats"] for row in own}) == 1
        for row in own:
            assert row["inner_repeats"] > 1
            assert (row["units"], row["units_ok"], row["n_steps"]) == (2, 2, 2 * 7)
            assert row["fit_s"] == pytest.approx(2 * 0.001)
            assert row["wall_s"] < 0.2


def test_a_process_that_computes_is_seen_while_it_does_and_not_for_a_minute_after():
    one = subprocess.Popen([sys.executable, "-c", "print(flush=True)\nwhile True: pass"], stdout=-1)
    one.stdout.readline()
    during = others_running()
    one.kill()
    one.communicate()
    assert during >= 1
    assert any(others_running() < during for _ in range(100))
