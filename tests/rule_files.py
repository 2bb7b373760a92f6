"""The workflow as Snakemake reads it, for one configuration after the other, in this process.

The rule files are compiled by Snakemake once; `read` runs them with a workflow that takes every
rule and keeps none, so that all checks and plans are made, and no job.
"""

import functools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from types import SimpleNamespace
from typing import Any
from unittest import mock

import snakemake.api  # before snakemake.workflow, which imports it too
import snakemake.workflow
import yaml
from snakemake import ioflags, ioutils
from snakemake.exceptions import WorkflowError
from snakemake.parser import parse

from scripts.lib.code import ROOT
from scripts.lib.contract import check_measured
from scripts.lib.faults import ConfigError

STUDIES = ("engression", "lora_ablation", "deep_gpcm", "tep_bp")
STAGED = STUDIES[1:]  # those with rules of their own


class Taker:
    """A workflow that accepts whatever a rule file says."""

    overwrite_configfiles = ()
    remote_exec = False
    resource_settings = SimpleNamespace(cores=2, nodes=None)
    is_main_process = True
    cores = 2

    def __init__(self, overlay: dict):
        self.config_settings = SimpleNamespace(overwrite_config=overlay)

    def __getattr__(self, name: str):
        return lambda *words, **named: lambda function: function


@contextmanager
def as_workflow_error() -> Iterator[None]:
    """What the rule `measure` does with a fault."""
    try:
        yield
    except ConfigError as error:
        raise WorkflowError(str(error)) from None


@functools.cache
def compiled(path: str):
    """A rule file as the code that Snakemake makes of it."""
    source = SimpleNamespace(get_path_or_uri=lambda secret_free=True: str(ROOT / path))
    opened = SimpleNamespace(open=lambda source: (ROOT / path).open(encoding="utf-8"))
    text, _ = parse(source, SimpleNamespace(sourcecache=opened), {})
    return compile(text, path, "exec")


@functools.cache
def _shipped() -> dict:
    found: dict = {}
    for name in ("config", *STUDIES):
        found |= yaml.safe_load((ROOT / f"config/{name}.yaml").read_text())
    return found


def shipped() -> dict:
    """The configuration that ships, with all studies."""
    return deepcopy(_shipped())


def names(config: dict, overlay: dict) -> dict[str, Any]:
    """What rule files find defined before their first line."""
    found = dict(vars(snakemake.workflow)) | {"config": config, "workflow": Taker(overlay)}
    ioutils.register_in_globals(found)
    ioflags.register_in_globals(found)
    return found | {"exists": os.path.exists}  # its own asks for storage providers


def read(
    config: dict, *studies: str, overlay: dict | None = None, costs: bool = True
) -> dict[str, Any]:
    """Everything that the rule files define with a configuration, those of some studies only.

    `overlay`: which part of it is the user's own. `costs`: a call that measures, not `science`.
    """
    found = names(config, overlay or {})
    staged = [study for study in studies or STAGED if study in STAGED]
    # What rule files set in the environment is of the process that runs the jobs, not of this one.
    with mock.patch.dict(os.environ):
        for part in ("common", "two_stage", *staged, "spine"):
            exec(compiled(f"workflow/rules/{part}.smk"), found)
    for study in found["STUDIES"] if costs else ():
        with as_workflow_error():
            check_measured(found["STUDY"][study], found["PLANS"][study])
    return found
