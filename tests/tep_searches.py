"""The tiny search's configuration, and its search carried out in this process."""

from pathlib import PurePosixPath
from textwrap import indent

import pandas as pd
import yaml

from scripts.lib.code import ROOT
from scripts.lib.config import read_settings
from scripts.tep_bp.data.sources import read
from scripts.tep_bp.data.store import Task
from scripts.tep_bp.jobs import jobs
from scripts.tep_bp.plans.stages import plans
from scripts.tep_bp.propose import proposed
from scripts.tep_bp.settings import Section
from scripts.tep_bp.train import result
from tests.project import Project

SEED = 42
STACKED = {"implementation": "stacked", "solver": "plain"}
RESULT = "gated"


def merged(config: dict, changes: dict) -> dict:
    """The configuration with the changes over it, key by key, as Snakemake merges overlays."""
    both = {key: (config[key], changes[key]) for key in config.keys() & changes.keys()}
    nested = {key: merged(*pair) for key, pair in both.items() if isinstance(pair[1], dict)}
    return config | changes | nested


def shipped() -> dict:
    """The section as it ships."""
    return yaml.safe_load((ROOT / "config/tep_bp.yaml").read_text())["tep_bp"]


def configuration(**sections: dict) -> Section:
    """That of tests/tiny_tep.yaml, its result stacked without a gate, and further keys over it."""
    tiny = yaml.safe_load((ROOT / "tests/tiny_tep.yaml").read_text())["tep_bp"]
    found = merged(merged(shipped(), tiny), {"arms": {RESULT: STACKED}})
    return read_settings(Section, merged(found, sections), "tep_bp")


def with_more(project: Project, lines: str) -> str:
    """The tiny configuration, and keys of the study (YAML lines) over it."""
    (project.folder / "more.yaml").write_text(f"tep_bp:\n{indent(lines, '  ')}\n")
    return f"{project.tiny} more.yaml"


class Search:
    """Plans and run rows of the result arm, each made when it is asked for."""

    def __init__(self, config: Section):
        self.arm, self.task = config.result, self.task_of(config)
        self.plans, self.jobs = plans(config, SEED), jobs(config, SEED)
        self.made: dict[str, pd.DataFrame] = {}

    @staticmethod
    def task_of(config: Section) -> Task:
        return read(config.tasks[config.task], config.split_seed)

    def plan(self, name: str) -> pd.DataFrame:
        """A plan, from the runs that it reads."""
        job, files = self.plans[name]
        reads = [self.block(PurePosixPath(path).stem) for path in files]
        known = pd.concat(reads, ignore_index=True) if reads else pd.DataFrame()
        return proposed(job.plan, known)

    def block(self, name: str) -> pd.DataFrame:
        """Rows of a job of the result arm."""
        if name not in self.made:
            job = self.jobs[self.arm, name]
            self.made[name] = pd.DataFrame(
                result(job, self.plan(job.rows.plan).to_dict("records"), self.task, [])
            )
        return self.made[name]

    def rows(self, rule: str, stage: str = "search") -> pd.DataFrame:
        """All rows of a rule and stage in order of trial, without clocks."""
        names = [
            name
            for (arm, name), job in self.jobs.items()
            if (arm, job.rule, job.stage) == (self.arm, rule, stage)
        ]
        found = pd.concat(map(self.block, names)).sort_values("trial", ignore_index=True)
        return found[[name for name in found if not name.endswith("_s")]]
