"""What a rule has without saying so: its log, its environment, the stamps of its script."""

import re
from pathlib import Path
from typing import Any

from scripts.lib.code import ROOT, stamps

ENVIRONMENT = ROOT / "workflow/envs/isospeed.yaml"
MODULE = re.compile(r"-m (scripts[\w.]+)")
WILDCARD = re.compile(r"{(\w+)")


def furnish(rule: Any, results: str) -> None:
    """Give a rule what it does not say itself.

    The log is <results>/<study>/logs/<stage>/<wildcards>.log. The code is the script of the
    command and all it imports; a rule with a parameter `code` says it itself.
    """
    if not rule.log:
        rule.log_modifier = rule.output_modifier
        rule.set_log(log_of(rule.name, str(rule.output[0]), results))
    if rule.conda_env is None:
        rule.conda_env = str(ENVIRONMENT)
    module = MODULE.search(rule.shellcmd or "")
    if module and "code" not in dict(rule.params._allitems()):
        rule.set_params(*stamps(module[1].replace(".", "/") + ".py"))


def log_of(name: str, output: str, results: str) -> str:
    """Where a rule of this name, with this first file of output, writes its log."""
    *folders, _ = Path(output).relative_to(results).parts
    study = folders[0] if folders else ""
    stage = name.removeprefix(f"{study}_")
    wildcards = [f"{{{label}}}" for label in WILDCARD.findall(output) if f"{{{label}}}" != study]
    return str(Path(results, study, "logs", stage, *dict.fromkeys(wildcards))) + ".log"
