"""How a rule calls a stage script: which Python, what it passes, what the script checks first."""

import argparse
import gc
import json
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from scripts.lib.faults import LoadError
from scripts.lib.files import remove
from scripts.lib.job import JOB


def put_this_python_first() -> None:
    """Make `python` in every job's shell the Python that runs Snakemake, activated or not."""
    os.environ["PATH"] = str(Path(sys.executable).parent) + os.pathsep + os.environ["PATH"]


def arguments(**converters: Callable) -> argparse.Namespace:
    """Parse `--job JSON` (or `@file`) and one required flag per keyword; log to standard error.

    A converter is `Path`, `int` or a list of one type (`[Path]`: any number of values). The JSON
    object has the job's `spec`, which is returned with the flags, and the fields of `Job`. A file
    that the job is to read and that is not what it should be ends it in a sentence, and is removed,
    so that the next call of Snakemake makes it again.
    """
    # What the imports made stays: to search it for garbage, at the exit too, costs half a second.
    gc.freeze()
    parser = argparse.ArgumentParser(prog=Path(sys.argv[0]).name)
    parser.add_argument("--job", type=_json, required=True, metavar="JSON")
    for name, convert in converters.items():
        many = isinstance(convert, list)
        kind = {"type": convert[0], "nargs": "*"} if many else {"type": convert}
        parser.add_argument(f"--{name}", required=True, **kind)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    sys.excepthook = _told
    args = parser.parse_args()
    _start(**vars(args).pop("job"), args=args)
    return args


def _json(text: str) -> dict:
    path = text.removeprefix("@")
    return json.loads(text if path == text else Path(path).read_text(encoding="utf-8"))


def _start(spec: Any, args: argparse.Namespace, **job: Any) -> None:
    args.spec = spec
    for name, value in job.items():
        setattr(JOB, name, value)
    if faults := JOB.faults():
        for path in faults:
            remove(Path(path))
        said = "; ".join(f"{path} {fault}" for path, fault in faults.items())
        sys.exit(f"{said}; removed, the next call makes it again.")


def _told(kind: type[BaseException], error: BaseException, trace: Any) -> None:
    """A fault of the input is its sentence, any other error a traceback."""
    if issubclass(kind, LoadError):
        print(error, file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, trace)
