"""The one door to answers: reads a data source of any kind, by a function of the kind's name."""

from pathlib import Path

from scripts.deep_gpcm.data.responses import Responses
from scripts.deep_gpcm.options import DataSource, Generated, Irtorch, LongTable, ThreeLines
from scripts.lib.faults import LoadError
from scripts.lib.implementations import implementation, implementations


def read(source: DataSource, seed: int, *fetched: Path) -> Responses:
    """All answers of a data source, checked; LoadError (one sentence) at the first fault.

    `seed` matters to generated answers only; `fetched` is the file of a kind that is downloaded.
    """
    return implementations(__name__)[source.kind](source, seed, *fetched)


@implementation
def generated(source: Generated, seed: int) -> Responses:
    from scripts.deep_gpcm.data.generator import read

    return read(source, seed)


@implementation
def three_lines(source: ThreeLines, seed: int) -> Responses:
    from scripts.deep_gpcm.data.three_lines import read

    return read(source)


@implementation
def table(source: LongTable, seed: int) -> Responses:
    from scripts.deep_gpcm.data.long_table import read

    return read(source)


@implementation
def irtorch(source: Irtorch, seed: int, *fetched: Path) -> Responses:
    from scripts.deep_gpcm.data.matrix import read

    if not fetched:
        raise LoadError(f"The table {source.table} has to be fetched first.")
    return read(source, *fetched)
