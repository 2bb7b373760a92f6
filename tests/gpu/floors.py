"""What each arm for a GPU costs on this device, beside what the device itself allows.

`make gpu-record` calls it after the tests of parity; with the device cpu, at small sizes, it is
tried. A floor is the work's products at the rate of a large product of matrices, or its bytes at
the rate of a copy, both measured here in the same call.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pandas as pd
import torch

from scripts.deep_gpcm.jobs import Jobs
from scripts.deep_gpcm.models.batches import Resident
from scripts.deep_gpcm.models.choices import evaluation, step_of, trainer_of
from scripts.deep_gpcm.models.fit import descend
from scripts.deep_gpcm.models.network import Network
from scripts.engression.models import stacked_fit
from scripts.lib.config import read_settings
from scripts.lib.devices import gpu, settle, torch_device
from scripts.lib.packages import installed
from scripts.lib.provenance import processor, provenance, shortened, today
from scripts.lib.table_files import write_frame
from scripts.lib.timing import Phases
from scripts.lib.torch_rng import torch_rng
from scripts.lora_ablation.models.stack import fit_stack as fit_classifiers
from scripts.lora_ablation.representations import on_device
from scripts.lora_ablation.representations.catalogue import FAMILIES
from scripts.tep_bp.models.stacked import stacked
from scripts.tep_bp.options import Training
from scripts.tep_bp.plans.sampling import as_trials, groups, trials
from scripts.tep_bp.settings import Section
from tests.engression_fits import unit_of
from tests.gpcm_networks import configuration as gpcm
from tests.gpcm_networks import fold
from tests.lora_cells import cell, keys
from tests.lora_cells import section as lora
from tests.lora_files import generated
from tests.rule_files import shipped
from tests.tep_nets import digits

AGAIN_S = {"cuda": 10.0, "cpu": 0.2}  # seconds for the repetitions of a row
README = """# On a GPU, {date}

Made by `make gpu-record` on {device}, commit `{commit}`; nothing in it is edited by hand.
`gpu.csv`: a row is work of an arm; `cold_s` the first call, which makes kernels, `wall_s` the
median of `repetitions` calls, `floor_s` what `floor` takes at the rates that the device reached
here in a product of float32 matrices (`flops_s`) and in a copy (`bytes_s`), `of_floor` their ratio;
`error` is the relative difference of a loss from that in float32 (TEP: the median of its early
losses).
"""


@dataclass
class Row:
    """A row of gpu.csv: `goal_s` of the project, None where it has none."""

    work: str
    goal_s: float | None
    cold_s: float
    wall_s: float
    repetitions: int
    floor_s: float
    floor: str
    error: float | None = None


@dataclass
class Rates:
    """What the device does at most, as measured: products and bytes a second."""

    flops: float
    bytes: float
    to_device: float
    device: torch.device

    @classmethod
    def of(cls, device: torch.device) -> "Rates":
        side, size = (8192, 1 << 30) if device.type == "cuda" else (1024, 1 << 27)
        a = torch.randn(side, side, device=device)
        block = torch.empty(size // 4, device=device)
        other = torch.empty_like(block)
        host = torch.empty(size // 4, pin_memory=device.type == "cuda")
        product = fastest(lambda: a @ a, device)
        copy = fastest(lambda: other.copy_(block), device)
        moved = fastest(lambda: block.copy_(host, non_blocking=True), device)
        return cls(2 * side**3 / product, 2 * size / copy, size / moved, device)


def fastest(work: Callable[[], Any], device: torch.device, times: int = 5) -> float:
    """Seconds of the fastest of some calls."""
    return min(timed(work, device)[0] for _ in range(times + 1))


def timed(work: Callable[[], Any], device: torch.device) -> tuple[float, Any]:
    """Seconds of a call, until the device has done it, and its answer."""
    settle(device)
    start = time.perf_counter()
    answer = work()
    settle(device)
    return time.perf_counter() - start, answer


def row(
    compute: Callable[[], Any], rates: Rates, floor_s: Callable[[Any], float], **told: Any
) -> Row:
    """A row of what is computed; `floor_s` is of the answer of one call."""
    cold, answer = timed(compute, rates.device)
    least, found = floor_s(answer), []
    while not found or (sum(found) < AGAIN_S[rates.device.type] and len(found) < 20):
        found.append(timed(compute, rates.device)[0])
    print(f"{told['work']}: {median(found):.3g} s (floor {least:.2g} s)", flush=True)
    times = {"cold_s": cold, "wall_s": median(found), "repetitions": len(found)}
    return Row(**times, floor_s=least, **told)


def generators(rates: Rates, small: bool) -> Iterator[Row]:
    """engression: replications trained to their end at once."""
    for n, reps in ((100, 4),) if small else ((100, 150), (500, 150), (1000, 150)):
        told = {"max_epochs": 3} if small else {}
        drawn = [unit_of("normal", n, rep, **told) for rep in range(reps)]
        units = [replace(unit, device=rates.device.type) for unit in drawn]
        yield row(
            lambda units=units: stacked_fit.fit_stack(units), rates,
            lambda fits: sum(6 * f.noise_rows * len(f.parameters) for f in fits) / rates.flops,
            work=f"engression: {reps} replications, n = {n}", goal_s=4.0 if n == 100 else None,
            floor="products of all layers, three ways",
        )  # fmt: skip


def searches(rates: Rates, small: bool) -> Iterator[Row]:
    """TEP: trials of the default space, tep and bp."""
    section = read_settings(Section, shipped()["tep_bp"], "tep_bp")
    epochs, count = (1, 8) if small else (section.train.epochs, 300)
    train = Training(**section.train.model_dump() | {"epochs": epochs})
    plan, data = trials(section.space, "sobol", count, 42), digits(torch.float32, 1149)
    stacks = [group for rule in ("tep", "bp") for group in groups(as_trials(plan, rule))]
    solver, told = section.solvers.plain, rates.device.type

    def search() -> list:
        found = [stacked.fit_stack(data, some, train, solver, told) for some in stacks]
        return [fit for fits in found for fit in fits]

    early: list[np.ndarray] = []

    def floor_s(fits: list) -> float:
        early.append(np.array([loss for fit in fits for loss in fit.early]))
        return sum(fit.flops for fit in fits) / rates.flops

    for precision in ("highest", "high"):  # float32, and TF32 where the device has it
        with multiplying(precision):
            found = row(
                search, rates, floor_s, work=f"TEP: {count} trials of tep and of bp, {precision}",
                goal_s=10.0 if precision == "highest" else None,
                floor="products of all phases; audits on the CPU are in the time",
            )  # fmt: skip
        found.error = float(np.nanmedian(np.abs(early[-1] / early[0] - 1)))
        yield found


@contextmanager
def multiplying(precision: str) -> Iterator[None]:
    """Within, float32 matrices are multiplied with this precision of PyTorch's."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(precision)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def steps(rates: Rates, small: bool) -> Iterator[Row]:
    """Deep-GPCM: a training step at the sizes of data set D, by implementation."""
    source, settings = gpcm().sources["D"], gpcm()
    questions, longest = (12, 20) if small else (source.questions, source.lengths[1])
    made = fold(train=80, val=1, test=1, longest=longest, levels=(4,) * questions)
    data, size = Resident(made.parts["train"]), settings.train.batch
    batch = data.batch(torch.arange(size)).on(rates.device)
    ways = [("stepwise", "loop"), ("hoisted", "loop"), ("tables", "loop"), ("tables", "function")]
    kernels = installed("triton") and rates.device.type == "cuda"
    ways += [("tables", "triton")] if kernels else []
    cells = settings.model.memory_size * settings.model.value_dim
    moved = 2 * 4 * len(batch.question) * cells
    first: list[float] = []
    for model, memory in ways:
        for autocast in (False, True):
            train = settings.train.model_copy(update={"autocast": autocast})
            net = Network(settings.model, torch.from_numpy(made.levels), torch_rng(1, "init"))
            net.to(rates.device)
            update = step_of("fused", list(net.parameters()), train)
            forward, called = evaluation(model, memory), f"{model}, {memory}{', bf16' * autocast}"

            def step(net=net, forward=forward, train=train, update=update) -> float:
                loss = descend(net, forward, batch, train, Phases())
                update(train.lr)
                return loss

            def floor_s(loss: float) -> float:
                first.append(loss)
                return moved / rates.bytes

            found = row(
                step, rates, floor_s, work=f"Deep-GPCM: step of D, {called}", goal_s=None,
                floor="memories stored and read once",
            )  # fmt: skip
            found.error = abs(first[-1] / first[0] - 1)
            yield found


def cross_validations(rates: Rates, small: bool) -> Iterator[Row]:
    """Deep-GPCM: the folds of A for two epochs, one after the other and side by side."""
    source, settings = gpcm().sources["A"], gpcm()
    questions, longest = (12, 20) if small else (source.questions, source.lengths[1])
    students = {"train": 24, "val": 8, "test": 1} if small else {"train": 576, "val": 64, "test": 1}
    levels = (source.categories,) * questions
    made = [fold(**students, longest=longest, levels=levels, seed=i) for i in range(5)]
    kernels = installed("triton") and rates.device.type == "cuda"
    told = Jobs(settings, 42).train("stacked", [])
    update = {"device": rates.device.type, "memory": "triton" if kernels else "function"}
    update["train"] = told.train.model_copy(update={"epochs": 2})
    job = told.model_copy(update=update)
    cells = settings.model.memory_size * settings.model.value_dim
    for name in ("alone", "stacked"):
        train = trainer_of(name)
        yield row(
            lambda train=train: train(made, job, [(1, i) for i in range(5)]), rates,
            lambda fits: sum(2 * 4 * fit.n_answers * cells for fit in fits) / rates.bytes,
            work=f"Deep-GPCM: 5 folds of A, 2 epochs, {name}", goal_s=None,
            floor="memories stored and read once",
        )  # fmt: skip


def features(rates: Rates, small: bool) -> Iterator[Row]:
    """LoRA: all families of adapters, from host memory."""
    for rank, adapters in ((1, 4),) if small else ((1, 1000), (4, 250)):
        shard = generated(adapters, rank)
        moved = shard.matrix.nbytes
        yield row(
            lambda shard=shard: on_device.numbers(
                shard.matrix, shard.layout, list(FAMILIES), rates.device.type
            ),
            rates, lambda numbers, moved=moved: moved / min(rates.to_device, rates.bytes),
            work=f"LoRA: features of {adapters} adapters, rank {rank}", goal_s=None,
            floor="tensors moved there once",
        )  # fmt: skip


def classifiers(rates: Rates, small: bool) -> Iterator[Row]:
    """LoRA: the runs of a cell side by side, for five epochs."""
    runs, columns, rows = (2, 16, 64) if small else (3, 640, 700)
    made, told = cell(columns=columns, n_train=rows), lora().train
    train = told.model_copy(update={"max_epochs": 5})

    def fit() -> list:
        return fit_classifiers(made, keys(runs), train, device=rates.device.type)

    def floor_s(fits: list) -> float:
        return sum(6 * f.n_steps * train.batch * f.n_parameters for f in fits) / rates.flops

    yield row(
        fit, rates, floor_s, work=f"LoRA: {runs} runs of a cell of {columns} columns, 5 epochs",
        goal_s=None, floor="products of all layers, three ways",
    )  # fmt: skip


def main(device: str, folder: Path) -> None:
    torch.set_num_threads(1)
    rates, small = Rates.of(torch_device(device)), device == "cpu"
    parts = (features, steps, cross_validations, generators, searches, classifiers)
    found = pd.DataFrame([asdict(one) for part in parts for one in part(rates, small)])
    found["of_floor"] = found["wall_s"] / found["floor_s"]
    name = gpu()["gpu"] if device == "cuda" else processor()
    found = found.assign(device=name, flops_s=rates.flops, bytes_s=rates.bytes)
    folder.mkdir(parents=True, exist_ok=True)
    write_frame(folder / "gpu.csv", found)
    about = {"date": today(), "device": name, "commit": shortened(provenance()["commit"])}
    (folder / "README.md").write_text(README.format(**about), encoding="utf-8")
    with pd.option_context("display.width", 160, "display.max_columns", 20):
        print(found.drop(columns=["device"]).to_string(index=False))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("device", choices=["cpu", "cuda"])
    parser.add_argument("folder", type=Path)
    asked = parser.parse_args()
    main(asked.device, asked.folder)
