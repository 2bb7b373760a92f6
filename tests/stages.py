"""Stage scripts run as their command lines do, and what a refusal looks like."""

import json
import runpy
import sys
from pathlib import Path

from scripts.lib.code import ROOT


def run_stage(monkeypatch, script: str, spec: dict, *flags) -> str | None:
    """Run a script (path below scripts/); what it says on exit, None on success."""
    path = str(ROOT / "scripts" / script)
    monkeypatch.setattr(sys, "argv", [path, "--job", json.dumps({"spec": spec}), *map(str, flags)])
    try:
        runpy.run_path(path, run_name="__main__")
    except SystemExit as end:
        return end.code
    return None


def one_sentence(said: str | None, folder: Path) -> str:
    """A refusal: one sentence, and no file left in `folder`."""
    assert isinstance(said, str), "not refused"
    assert not folder.exists() or not any(folder.iterdir())
    assert "\n" not in said
    assert ". " not in said
    assert said.endswith(".")
    return said
