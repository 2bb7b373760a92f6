"""Tiny networks, batches and folds, and what the arms of the shipped configuration do with them."""

import math
from functools import cache
from pathlib import Path
from typing import get_args

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
import yaml

from scripts.deep_gpcm.data.fold import PARTS, Fold, Sequences
from scripts.deep_gpcm.jobs import Jobs
from scripts.deep_gpcm.models.batches import Batch
from scripts.deep_gpcm.models.fit import Fit
from scripts.deep_gpcm.models.network import Network
from scripts.deep_gpcm.options import Baseline, Embedding
from scripts.deep_gpcm.settings import Section
from scripts.deep_gpcm.specs import GpcmJob
from scripts.deep_gpcm.unit import Unit, train_units, unit_tables
from scripts.lib.config import read_settings
from scripts.lib.packages import installed
from scripts.lib.torch_rng import torch_rng
from tests.gpcm_answers import answers, fold_of, parameters

ROOT = Path(__file__).resolve().parents[1]
EMBEDDINGS = get_args(Embedding)
# Those of another package where it is installed; they have its name.
BASELINES = [b for b in get_args(Baseline) if b not in ("girth", "irtorch") or installed(b)]
DOUBLE, SINGLE = torch.float64, torch.float32
SIZES = {"memory_size": 5, "key_dim": 6, "value_dim": 8, "summary_dim": 4}
LEVELS, RAGGED = (4,) * 7, (4, 2, 3, 4, 2, 4, 3)
# Arms that claim to be the reference, in other operations.
IMPLEMENTATIONS = (
    "hoisted", "tables", "function", "fused", "padded", "accumulated", "loader_workers",
)  # fmt: skip


@cache
def configuration() -> Section:
    """The study's section of the configuration that is shipped."""
    text = (ROOT / "config/deep_gpcm.yaml").read_text()
    return read_settings(Section, yaml.safe_load(text)["deep_gpcm"], "deep_gpcm")


def arm(name: str, units: list | None = None, **changes) -> GpcmJob:
    """An arm's job on a network of tiny sizes; `changes` overrides options of `train`."""
    changes = ({"workers": 2} if name == "loader_workers" else {}) | changes
    job = Jobs(configuration(), 42).train(name, units or [])
    train = job.train.model_copy(update={"batch": 6, "epochs": 3} | changes)
    return job.model_copy(update={"model": job.model.model_copy(update=SIZES), "train": train})


def network(levels=LEVELS, dtype: torch.dtype = DOUBLE, seed: int = 1, **options) -> Network:
    """A tiny network whose biases are not zero."""
    model = configuration().model.model_copy(update=SIZES | options)
    net = Network(model, torch.tensor(levels), torch_rng(seed, "init"))
    rng = torch_rng(seed, "bias")
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            if name.endswith("bias"):
                parameter.copy_(0.5 * torch.randn(parameter.shape, generator=rng))
    return net.to(dtype)


def batch(lengths=(11, 11, 11), levels=LEVELS, lowest: int = 0, seed: int = 0) -> Batch:
    """Random answers to questions from `lowest`, most of which come back; 0 is padding's id."""
    rng = np.random.default_rng(seed)
    question = rng.integers(lowest, len(levels) + 1, sum(lengths))
    response = rng.integers(0, np.array([max(levels), *levels])[question])
    return Batch(*(torch.tensor(x) for x in (question, response, lengths)))


def fold(train=24, val=9, test=10, longest=9, levels=LEVELS, seed: int = 0) -> Fold:
    """Students with 1 to `longest` answers drawn from a GPCM."""
    whole = answers(parameters(train + val + test, levels, seed), longest, seed)
    lengths = np.random.default_rng(seed).integers(1, longest + 1, len(whole.student))
    kept = whole.position < np.repeat(lengths, longest)
    ragged = Sequences(whole.student, lengths, whole.question[kept], whole.response[kept])
    return fold_of(ragged, levels, train, val)


def fold_file(data: Fold, folder: Path) -> tuple[Path, Path]:
    """The fold and its items as the stages before write them."""
    columns = {"student_id": [], "t": [], "question_id": [], "response": [], "split": []}
    for part in PARTS:
        rows = data.parts[part]
        columns["student_id"] += np.repeat(rows.student, rows.lengths).tolist()
        columns["t"] += rows.position.tolist()
        columns["question_id"] += rows.question.tolist()
        columns["response"] += rows.response.tolist()
        columns["split"] += [part] * len(rows.question)
    table = pa.table(columns).sort_by([("student_id", "ascending"), ("t", "ascending")])
    pq.write_table(table, folder / "fold.parquet")
    pq.write_table(pa.table({"categories": data.levels}), folder / "items.parquet")
    return folder / "fold.parquet", folder / "items.parquet"


def trained_unit(job: GpcmJob, data: Fold, unit: list) -> Unit:
    """Row and tables of one fold by one arm."""
    return unit_tables(job, data, unit, *train_units(job, [data], [unit]))


def gap(a: torch.Tensor, b: torch.Tensor) -> float:
    """Largest difference of two tensors of one shape; equal infinities do not differ."""
    assert a.shape == b.shape
    a, b = a.detach(), b.detach()
    return float(torch.where(a == b, 0, a - b).abs().max()) if a.numel() else 0.0


def apart(a: Fit, b: Fit) -> float:
    """Largest difference of losses and histories; infinite if one is longer."""
    if len(a.losses) != len(b.losses) or len(a.history) != len(b.history):
        return math.inf
    sides = [np.append(np.ravel(x.history), x.losses) for x in (a, b)]
    return float(np.abs(sides[0] - sides[1]).max())


def furthest(a: Network, b: Network) -> float:
    """Largest difference of the parameters of two networks."""
    return max(gap(p, q) for p, q in zip(a.parameters(), b.parameters(), strict=True))
