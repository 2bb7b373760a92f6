"""Stage scripts run as their command lines do, and what a refusal looks like."""

import runpy
import sys
from pathlib import Path
from typing import Any

from scripts.lib.code import ROOT
from scripts.lib.faults import LoadError
from scripts.lib.job import JOB, Job
from scripts.lib.spec import canonical

Named = dict[str, Any]


def job_of(spec: Any, input: Named, output: Named, threads: int = 1) -> str:
    """A job as its rule hands it on, without keys; paths may be Path or text, one or several."""
    named = {"input": input, "output": output}
    files = {
        key: {name: _text(paths) for name, paths in value.items()} for key, value in named.items()
    }
    return canonical({"spec": spec, "threads": threads} | files)


def _text(paths: Any) -> str | list[str]:
    return [str(path) for path in paths] if isinstance(paths, list | tuple) else str(paths)


def run_stage(
    monkeypatch, script: str, spec: Any, input: Named | None = None, output: Named | None = None
) -> str | None:
    """Run a script (path below scripts/); what it says on exit, None on success."""
    path, job = str(ROOT / "scripts" / script), job_of(spec, input or {}, output or {})
    monkeypatch.setattr(sys, "argv", [path, job])
    for name, value in vars(Job()).items():
        monkeypatch.setattr(JOB, name, value)
    try:
        runpy.run_path(path, run_name="__main__")
    except SystemExit as end:
        return end.code
    except LoadError as error:
        return str(error)  # what the script's hook would print
    return None


def one_sentence(said: str | None, folder: Path) -> str:
    """A refusal: one sentence, and no file left in `folder`."""
    assert isinstance(said, str), "not refused"
    assert not folder.exists() or not any(folder.iterdir())
    assert "\n" not in said
    assert ". " not in said
    assert said.endswith(".")
    return said
