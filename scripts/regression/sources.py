"""Tables of the study: columns of a file, or draws of a curve that noise enters before."""

from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from scripts.lib.faults import ConfigError, LoadError
from scripts.lib.foreign_columns import numbers
from scripts.lib.own_study import Model, Text, setting
from scripts.lib.root import ours
from scripts.lib.typed import Unique

FEWEST = 40  # rows of a table that is split at all

# y = curve(x + noise): docs/studies/regression.md, Tables.
CURVES = {
    "softplus": lambda u: np.logaddexp(0, u),
    "square": lambda u: np.maximum(u, 0) ** 2 / 2,
    "cubic": lambda u: u**3 / 3,
    "log": lambda u: np.where(u <= 2, u / 3 + np.log(3) - 2 / 3, np.log1p(np.maximum(u, 0))),
}
LOWER, UPPER = -2.0, 2.0


class Source(Model):
    """Where a table comes from, and which columns are which."""

    file: Text | None = setting(
        'A table of numbers, .csv, .parquet or .npy (columns "0", "1", ...).', default=None
    )
    x: Unique[Text] = setting("Columns of covariates; none for a sample alone.", default=[])
    y: Unique[Text] = setting("Columns of the response, one or several.", default=[])
    generated: Literal[*CURVES] | None = setting(
        "In place of a file: the curve of y = curve(x + noise), x uniform, standard normal noise.",
        default=None,
    )
    rows: int = setting("Rows that are drawn of a generated table.", default=1000, ge=FEWEST,
                        le=10**6)  # fmt: skip
    along: Text | None = setting(
        "Covariate beyond whose larger values the split `beyond` tests; the first, if left out.",
        default=None,
    )

    @property
    def path(self) -> Path:
        """The file, as seen from the working directory; else of the repository, as ours are."""
        there = Path(self.file)
        return there if there.exists() else Path(ours(self.file))


class Table(NamedTuple):
    """Covariates x (n, p) and responses y (n, d), float64, with the names of their columns."""

    x: np.ndarray
    y: np.ndarray
    names: list[str]
    along: int  # column of x


def check_source(source: Source, where: str) -> None:
    """Raise ConfigError or LoadError, in a sentence, unless this is a table."""
    if (source.file is None) == (source.generated is None):
        raise ConfigError(f"Config: {where} needs either a file or generated, one of them.")
    if source.generated:
        if source.x or source.y or source.along:
            raise ConfigError(
                f"Config: {where} is generated, and so x and y have their names; take x, y and "
                "along out."
            )
        return
    if not source.y:
        raise ConfigError(f"Config: {where}.y is empty; name the columns of the response.")
    if both := set(source.x) & set(source.y):
        raise ConfigError(f"Config: {where} has the column {min(both)!r} in x and in y.")
    if source.along is not None and source.along not in source.x:
        raise ConfigError(f"Config: {where}.along is {source.along!r}, which is not in x.")
    read(source)


def read(source: Source) -> Table:
    """The table of a file; LoadError where a column has no numbers or one value only."""
    path = source.path
    names, values = numbers(path, [*source.x, *source.y])
    if len(values) < FEWEST:
        raise LoadError(f"{path}: has {len(values)} rows; expected at least {FEWEST}.")
    for name, column in zip(names, values.T, strict=True):
        if (column == column[0]).all():
            raise LoadError(f"{path}: column {name!r} has one value only, {column[0]:g}.")
    count = len(source.x)
    along = source.x.index(source.along) if source.along else 0
    return Table(values[:, :count], values[:, count:], names, along)


def drawn(source: Source, rng: np.random.Generator) -> Table:
    """A generated table: x uniform on (-2, 2), y = curve(x + N(0, 1))."""
    x = rng.uniform(LOWER, UPPER, source.rows)
    y = CURVES[source.generated](x + rng.normal(0, 1, source.rows))
    return Table(x[:, None], y[:, None], ["x", "y"], 0)
