"""How a rule calls a stage script: which Python, and what it passes on the command line."""

import argparse
import gc
import json
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path


def put_this_python_first() -> None:
    """Make `python` in every job's shell the Python that runs Snakemake, activated or not."""
    os.environ["PATH"] = str(Path(sys.executable).parent) + os.pathsep + os.environ["PATH"]


def arguments(**converters: Callable) -> argparse.Namespace:
    """Parse `--spec JSON` and one required flag per keyword; start logging to standard error.

    A converter is `Path`, `int` or a list of one type (`[Path]`: any number of values).
    """
    # What the imports made stays: to search it for garbage, at the exit too, costs half a second.
    gc.freeze()
    parser = argparse.ArgumentParser(prog=Path(sys.argv[0]).name)
    parser.add_argument("--spec", type=json.loads, required=True, metavar="JSON")
    for name, convert in converters.items():
        many = isinstance(convert, list)
        kind = {"type": convert[0], "nargs": "*"} if many else {"type": convert}
        parser.add_argument(f"--{name}", required=True, **kind)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    return parser.parse_args()
