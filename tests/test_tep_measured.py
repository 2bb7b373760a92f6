"""What is timed is the same trials of every stratum, whoever trains them, on the same batches."""

import functools
import json
import math
from collections import Counter
from pathlib import Path

import pytest
import torch

from scripts.tep_bp import measured
from scripts.tep_bp.data.sources import read
from scripts.tep_bp.data.store import Xor, write_task
from scripts.tep_bp.jobs import measured_job, measured_tasks, measured_units
from scripts.tep_bp.measured import drawn, run
from scripts.tep_bp.models.interface import Data, batch_orders, data_of
from scripts.tep_bp.models.reference.trial import loader
from scripts.tep_bp.models.stacked import stacked
from scripts.tep_bp.models.stacked.stacked import batch
from scripts.tep_bp.settings import TepWorkload
from tests.tep_nets import TRAIN, changed, trial
from tests.tep_searches import SEED, configuration

CONFIG = configuration(
    space={"hidden": [8, 16, 24], "batch": [16, 32]},
    measure={"workloads": {"loading": {"rounds": 2}}},
    arms={"economy": {"implementation": "stacked"}},
)
WORKLOAD = TepWorkload(work="trials", rule="tep", where="tep", epochs=2, trials=3, rounds=2)
LOADING = changed(WORKLOAD, work="loading")
# Two trials of a stratum and one of another.
UNITS = [[8, 16, 1, 0], [8, 16, 1, 2], [24, 32, 1, 1]]


@functools.cache
def small() -> Data:
    return data_of(read(CONFIG.tasks["parity"], 0), ["train"], "val")


@pytest.fixture
def inputs(tmp_path) -> dict:
    """Task files, named as the workflow names them; the second is the one that is asked for."""
    paths = [tmp_path / "xor.npz", tmp_path / "parity.npz"]
    for path in paths:
        task = Xor(kind="xor", samples=40) if path.stem == "xor" else CONFIG.tasks["parity"]
        write_task(path, read(task, 0))
    return {"tasks": paths, "gate": []}


def measure(inputs: dict, arm: str, workload: TepWorkload, **changes) -> list[dict]:
    """Rows as the spine asks for them: the job as plain values."""
    job = measured_job(CONFIG, SEED, arm, workload).model_dump(mode="json")
    return run(job | {"units": UNITS} | changes, inputs)


def all_units(workload: TepWorkload) -> list[list]:
    """Units of all rounds."""
    return [measured_units(CONFIG, workload, k) for k in workload.numbers]


def test_rounds_are_all_strata():
    found = all_units(WORKLOAD)
    strata = [[hidden, size] for hidden in (8, 16, 24) for size in (16, 32)]
    assert found == [[[*one, k, n] for one in strata for n in range(3)] for k in (1, 2)]


@pytest.mark.parametrize(("wanted", "chosen"), [(1, [3]), (2, [1, 4]), (3, [1, 3, 5]), (99, None)])
def test_fewer_strata_are_spread_over_the_space(wanted, chosen):
    whole = measured_units(CONFIG, WORKLOAD, 0)
    found = measured_units(CONFIG, changed(WORKLOAD, strata=wanted), 0)
    places = range(6) if chosen is None else chosen
    assert found == [whole[3 * i + number] for i in places for number in range(3)]


def test_a_unit_is_a_trial_of_its_stratum_the_same_for_all_and_another_in_each_round():
    job = measured_job(CONFIG, SEED, "stacked", WORKLOAD)
    units = [unit for units in all_units(WORKLOAD) for unit in units]
    found = drawn(job, units)
    assert [one.trial for one in found] == list(range(len(units)))
    assert [[one.hidden, one.batch] for one in found] == [unit[:2] for unit in units]
    assert {one.rule for one in found} == {"tep"}
    assert len({one.seed for one in found}) == len({one.lr for one in found}) == len(units)
    assert {one.activation for one in found} == {"tanh", "relu"}
    for arm in ("reference", "economy"):
        assert drawn(measured_job(CONFIG, SEED, arm, WORKLOAD), units) == found
    # Whichever are asked for together.
    some = [one._replace(trial=place) for place, one in enumerate(found[7:4:-1])]
    assert drawn(job, units[7:4:-1]) == some


@pytest.mark.parametrize("arm", ["reference", "stacked"])
@pytest.mark.parametrize("rule", ["tep", "bp"])
def test_every_unit_is_a_row_that_counts_its_work(inputs, arm, rule):
    found = measure(inputs, arm, changed(WORKLOAD, rule=rule))
    for (_, size, *_), row in zip(UNITS, found, strict=True):
        assert row["status"] == "ok"
        assert row["n_steps"] == 2 * math.ceil(len(small().x) / size)
        phases = [row[f"{name}_s"] for name in ("data", "free", "nudged", "update", "evaluate")]
        assert sum(phases) == pytest.approx(row["fit_s"])
        assert min(phases) > 0


def test_a_stacked_trial_is_charged_the_time_of_its_stack_over_its_trials(inputs, monkeypatch):
    class Clock(stacked.Phases):
        def columns(self):
            return {"fit_s": 12.0, "cpu_s": 6.0, "data_s": 3.0}

    monkeypatch.setattr(stacked, "Phases", Clock)
    found = measure(inputs, "stacked", WORKLOAD)
    assert [row["fit_s"] for row in found] == [6.0, 6.0, 12.0]
    assert [row["cpu_s"] for row in found] == [3.0, 3.0, 6.0]
    # No room for two.
    alone = measure(inputs, "stacked", WORKLOAD, max_stack_elements=1)
    assert [row["data_s"] for row in alone] == [3.0] * 3


def test_what_is_timed_is_the_arm_s_training(inputs, monkeypatch):
    stacks, real = Counter(), stacked.fit_stack

    def seen(data, trials, train, solver, *device):
        stacks[solver.free, len(trials), len(data.x), train.epochs] += 1
        return real(data, trials, train, solver, *device)

    monkeypatch.setattr(stacked, "fit_stack", seen)
    for arm in ("stacked", "economy"):
        measure(inputs, arm, WORKLOAD)
    n = len(small().x)
    assert stacks == {(free, trials, n, 2): 1 for free in (20, 8) for trials in (2, 1)}


@pytest.mark.parametrize("arm", ["reference", "loader_persistent", "stacked"])
def test_loading_hands_over_every_sample_once_an_epoch(inputs, arm):
    for row in measure(inputs, arm, LOADING):
        assert row["n_samples"] == 2 * len(small().x)
        assert row["status"] == "ok"
        assert row["data_s"] == pytest.approx(row["fit_s"])
        assert row["fit_s"] > 0


@pytest.mark.parametrize("options", [{}, {"workers": 2, "persistent": True}])
def test_loaders_deliver_the_batches_of_the_resident_data(options):
    one, data = trial("bp", batch=16), small()
    batches, rng = loader(data, one, changed(TRAIN, **options)), batch_orders(one)
    orders = []
    for _ in range(3):
        order = torch.randperm(len(data.x), generator=rng)
        parts = [batch(data, part) for part in order[None].split(one.batch, dim=1)]
        delivered = list(batches)
        assert len(delivered) == len(parts)
        for (x, y), (own_x, own_y) in zip(delivered, parts, strict=True):
            assert torch.equal(x, own_x[0])
            assert torch.equal(y, own_y[0])
        orders.append(order.tolist())
    assert orders[0] != orders[1]


def test_the_plan_names_the_tasks_that_active_workloads_read():
    def tasks(**loading) -> list[str]:
        workloads = {"workloads": {"loading": {"rounds": 2} | loading}}
        return measured_tasks(configuration(measure=workloads))

    assert tasks() == ["parity"]
    assert tasks(task="mnist") == ["parity", "mnist"]
    assert tasks(task="mnist", rounds=0) == ["parity"]


def test_a_gated_contestant_runs_with_the_solver_that_the_gate_names(inputs, tmp_path, monkeypatch):
    iterations, real = [], stacked.fit_stack
    monkeypatch.setattr(
        stacked, "fit_stack", lambda *args: [iterations.append(args[3].free), real(*args)][1]
    )
    solvers = CONFIG.solvers.model_dump()
    for name in ("economy", "plain"):
        (tmp_path / "gate.json").write_text(json.dumps({"solver": name}))
        files = inputs | {"gate": [tmp_path / "gate.json"]}
        gated = {"solver": "gated", "solvers": solvers, "units": UNITS[:1]}
        measure(files, "stacked", WORKLOAD, **gated)
    assert iterations == [8, 20]


def test_the_task_is_read_once_and_from_the_file_of_its_name(inputs, monkeypatch):
    reads = []
    measured.task_at.cache_clear()
    real = measured.read_task
    monkeypatch.setattr(measured, "read_task", lambda path: [reads.append(path), real(path)][1])
    for arm in ("reference", "stacked"):
        measure(inputs, arm, LOADING)
    assert [Path(path).name for path in reads] == ["parity.npz"]
