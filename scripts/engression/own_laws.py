"""A user's own law: a Python file with `draw`, or a sample in a table (docs/how-to/engression.md).

The file's text is part of a unit's data: an edited law trains its own units again, and no others.
"""

import contextlib
import logging
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import numpy as np

from scripts.lib.faults import ConfigError, LoadError
from scripts.lib.foreign import foreign, text
from scripts.lib.foreign_columns import numbers
from scripts.lib.own_study import Model, Share, Text, Unit, setting
from scripts.lib.seeds import numpy_rng
from scripts.lib.typed import Unique

CODE = ".py"
MANY, MOST_HELD_OUT = 20_000, 20_000
FEWEST_HELD_OUT = 50


class OwnLaw(Model):
    """A law that a file tells."""

    file: Text = setting("Python code with draw(rng, size), or a sample: .csv, .parquet or .npy.")
    columns: Unique[Text] = setting("Of a sample: these columns; all, if left out.", default=[])
    held_out: Share = setting("Of a sample: share of rows that scores are about.", default=0.25,
                              gt=0, lt=1)  # fmt: skip
    scale: Literal["standard", "none"] = setting(
        "Standardise by mean and standard deviation of each coordinate, or leave it as it is.",
        default="standard",
    )

    @property
    def is_code(self) -> bool:
        """Whether the file draws; otherwise it is a sample."""
        return Path(self.file).suffix == CODE


@dataclass
class Code:
    """The functions of a law's file: `draw`, and the exact distances, if it tells them."""

    draw: Callable[[np.random.Generator, int], np.ndarray]
    distance: Callable[[np.ndarray], np.ndarray] | None = None
    gini: float | None = None


def run(source: str, where: str) -> Code:
    """The functions of a file, which is run; LoadError with one sentence for what it raises."""
    module = ModuleType("own_law")
    with told(where, "cannot be run"):
        exec(compile(source, where, "exec"), module.__dict__)
    if not callable(getattr(module, "draw", None)):
        raise LoadError(f"{where}: has no function draw(rng, size).")
    distance, gini = getattr(module, "distance", None), getattr(module, "gini", None)
    if (distance is None) != (gini is None):
        raise LoadError(
            f"{where}: tells one of distance and gini; exact distances need both, E|X - y| as "
            "distance(y) and E|X - X'| as gini."
        )
    if gini is not None and not (isinstance(gini, int | float) and 0 < gini < math.inf):
        raise LoadError(f"{where}: gini is {gini!r}; expected E|X - X'|, a positive number.")

    def draw(rng: np.random.Generator, size: int) -> np.ndarray:
        with told(where, f"draw(rng, {size}) fails"):
            found = module.draw(rng, size)
        return _checked(found, size, where)

    return Code(draw, distance, gini)


@contextlib.contextmanager
def told(where: str, fault: str):
    """What a user's code raises, an exit too, is one sentence; what it prints goes to stderr."""
    try:
        with contextlib.redirect_stdout(sys.stderr), foreign(where, fault):
            yield
    except SystemExit as error:
        raise LoadError(f"{where}: {fault} (it calls exit).") from error


def _checked(found: Any, size: int, where: str) -> np.ndarray:
    """A draw as float64 (size,) or (size, d); LoadError for anything else."""
    call = f"{where}: draw(rng, {size}) gives"
    if not isinstance(found, np.ndarray) or found.dtype.kind not in "iuf":
        kind = f"an array of {found.dtype}" if isinstance(found, np.ndarray) else type(found)
        name = kind if isinstance(kind, str) else kind.__name__
        raise LoadError(f"{call} {name}; expected a NumPy array of real numbers.")
    if found.ndim not in (1, 2) or len(found) != size or not found.size:
        raise LoadError(f"{call} the shape {found.shape}; expected ({size},) or ({size}, d).")
    if not np.isfinite(found).all():
        raise LoadError(f"{call} NaN or infinite numbers; expected finite ones.")
    values = found.astype(float)
    return values[:, 0] if values.ndim == 2 and values.shape[1] == 1 else values


def check_own(own: OwnLaw, sizes: list[int], where: str) -> None:
    """Raise ConfigError or LoadError, in one sentence, unless units can be drawn of this law."""
    if own.is_code:
        for key in ("columns", "held_out"):
            if key in own.model_fields_set:
                raise ConfigError(
                    f"Config: {where}.{key} has no effect on a file that draws; take it out."
                )
        return check_code(text(own.file, expected="Python code in UTF-8"), own)
    training, held_out = parts(own, 0, where)
    if len(held_out) < FEWEST_HELD_OUT:
        raise LoadError(
            f"{own.file}: {len(held_out)} rows would be held out; expected at least "
            f"{FEWEST_HELD_OUT}, so that scores mean something."
        )
    if (most := max(sizes)) > len(training):
        raise ConfigError(
            f"Config: {where} is asked for n = {most}, but {own.file} has {len(training)} rows "
            "that are not held out; take smaller n, in axes and in measured workloads."
        )
    scale_of(training, own)
    return None


def check_code(source: str, own: OwnLaw) -> None:
    """LoadError unless a file draws by the generator that it is handed, and by nothing else."""
    where, code = own.file, run(source, own.file)
    first, again = (code.draw(numpy_rng(1, "law"), 50) for _ in range(2))
    if first.shape[1:] != code.draw(numpy_rng(1, "law"), 2).shape[1:]:
        raise LoadError(f"{where}: draw gives another dimension for another size.")
    if not np.array_equal(first, again):
        raise LoadError(
            f"{where}: draw gives other numbers for the same rng; let it draw from rng alone."
        )
    if np.array_equal(first, code.draw(numpy_rng(2, "law"), 50)):
        raise LoadError(
            f"{where}: draw gives the same numbers for another rng; let it draw from rng."
        )
    many = code.draw(numpy_rng(3, "law"), MANY)
    scale_of(many, own)
    if code.distance is not None:
        _check_distances(code, many, where)


def _check_distances(code: Code, many: np.ndarray, where: str) -> None:
    """LoadError unless exact distances are those of the draws, within six standard errors."""
    if many.ndim > 1:
        raise LoadError(f"{where}: tells exact distances; they are for laws of one dimension.")
    half = MANY // 2
    pairs = np.abs(many[:half] - many[half:])
    claims = [(code.gini, pairs, "gini", "E|X - X'|")]
    at = np.quantile(many, [0.05, 0.5, 0.95])
    for y, exact in zip(at, distances(code, at, where), strict=True):
        claims.append((exact, np.abs(many - y), f"distance({y:.4g})", f"E|X - {y:.4g}|"))
    for exact, found, name, meaning in claims:
        if abs(found.mean() - exact) > 6 * found.std() / math.sqrt(len(found)):
            raise LoadError(
                f"{where}: {name} is {exact:.4g}, but of {len(found)} draws {meaning} is "
                f"{found.mean():.4g}."
            )


def distances(code: Code, y: np.ndarray, where: str) -> np.ndarray:
    """E|X - y| of each y (n,), by the user's function."""
    with told(where, "distance(y) fails"):
        found = np.asarray(code.distance(y.copy()), dtype=float)
    if found.shape != y.shape or not np.isfinite(found).all():
        raise LoadError(f"{where}: distance(y) must give a finite number for each y.")
    return found


def parts(own: OwnLaw, seed: int, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Rows of a sample that may train, and those that are held out, (n,) or (n, d), float64.

    All units of a law share them: they are drawn by the root seed and the law's name.
    """
    _, values = numbers(Path(own.file), own.columns or None)
    rows = numpy_rng(seed, "engression", name, "held_out").permutation(len(values))
    count = round(len(rows) * own.held_out)
    values = values[:, 0] if values.shape[1] == 1 else values
    return values[rows[count:]], values[rows[:count][:MOST_HELD_OUT]]


def scale_of(values: np.ndarray, own: OwnLaw) -> tuple[np.ndarray, np.ndarray]:
    """(mean, standard deviation) of each coordinate by which a law is scaled, (1,) or (d,)."""
    columns = values.reshape(len(values), -1)
    spread = columns.std(axis=0, ddof=1)
    if not (np.isfinite(spread).all() and (spread > 0).all()):
        raise LoadError(f"{own.file}: a coordinate is constant or beyond all numbers.")
    if own.scale == "none":
        return np.zeros_like(spread), np.ones_like(spread)
    return columns.mean(axis=0), spread


def data_of(own: OwnLaw, unit: Unit) -> dict[str, np.ndarray]:
    """The sample `x` of a unit, float32, and what its scores need: the code, or the rows held out.

    x is drawn by the unit's stream `data`: by the code, or from rows that are not held out.
    """
    name, rng = unit["law"], unit.rng("data")
    found: dict[str, np.ndarray] = {}
    if own.is_code:
        source = text(own.file, expected="Python code in UTF-8")
        code = run(source, own.file)
        x = code.draw(rng, unit["n"])
        mean, sd = scale_of(code.draw(numpy_rng(unit.seed, "engression", name, "scale"), MANY), own)
        found["code"] = np.frombuffer(source.encode(), np.uint8)
        read_as = "scored by its exact distances" if code.distance else "scored by its draws"
    else:
        training, held_out = parts(own, unit.seed, name)
        read_as = f"{len(training)} rows may train, {len(held_out)} are held out"
        x = training[rng.permutation(len(training))[: unit["n"]]]
        mean, sd = scale_of(training, own)
        found["held_out"] = scaled(held_out, mean, sd)
    if unit["rep"] == 0:
        told = f"less {mean}, over {sd}" if own.scale == "standard" else "as it is"
        logging.info("%s, n = %d: %s: %s; %s", name, unit["n"], own.file, read_as, told)
    return {"x": scaled(x, mean, sd).astype("float32"), "mean": mean, "sd": sd} | found


def scaled(values: np.ndarray, mean: np.ndarray, sd: np.ndarray) -> np.ndarray:
    """Values (n,) or (n, d) in standard deviations from the mean."""
    return ((values.reshape(len(values), -1) - mean) / sd).reshape(values.shape)


def truth_of(unit: Unit, count: int) -> np.ndarray:
    """What scores of a unit of an own law are about: `count` draws by its stream `test`, or all
    rows held out; scaled as its sample is."""
    if "held_out" in unit.data:
        return unit.data["held_out"]
    code = run(unit.data["code"].tobytes().decode(), unit["law"])
    return scaled(code.draw(unit.rng("test"), count), unit.data["mean"], unit.data["sd"])


def exact_energy(unit: Unit, y: np.ndarray) -> float | None:
    """2 E|X - Y| - E|X - X'| of generated values y (n,), if the law tells its distances."""
    if "code" not in unit.data:
        return None
    code = run(unit.data["code"].tobytes().decode(), unit["law"])
    if code.distance is None:
        return None
    (mean,), (sd,) = unit.data["mean"], unit.data["sd"]
    return float((2 * distances(code, y * sd + mean, unit["law"]).mean() - code.gini) / sd)
