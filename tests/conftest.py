"""Projects to run, edit and break."""

import fcntl
import functools
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from xdist.scheduler import LoadScopeScheduling

from tests.project import ROOT, Project, copy_code

# Kernels for a GPU are interpreted, here and in the jobs that tests start. Read when Triton is
# imported, which importing PyTorch does not; tests on a device say otherwise.
os.environ.setdefault("TRITON_INTERPRET", "1")


class ByFile(LoadScopeScheduling):
    """The tests of a file run in one process, which makes its fixtures once, but for `spread`."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return nodeid if is_spread(file) else file


@functools.cache
def is_spread(file: str) -> bool:
    """Whether processes may share the tests of a file (path below the project)."""
    return "\npytestmark = pytest.mark.spread\n" in (ROOT / file).read_text(encoding="utf-8")


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByFile:
    """Two files at a time on two cores; the groups of xdist 3.8 are lost on pytest 9.2."""
    return ByFile(config, log)


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """Arithmetic in tests and in the jobs they start is single-threaded, as in the workflow."""
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)


@pytest.fixture
def fresh(tmp_path) -> Project:
    """The project as cloned: nothing run yet."""
    return Project(copy_code(tmp_path / "project"))


@pytest.fixture(scope="session")
def once(tmp_path_factory) -> Callable[[str], Project]:
    """A finished project with a study's tiny run, made by the first test process that asks."""
    root: Path = tmp_path_factory.getbasetemp()
    root = root.parent if "PYTEST_XDIST_WORKER" in os.environ else root

    def finish(study: str) -> Project:
        project = Project(root / f"finished-{study}", study)
        with (root / f"{study}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (project.folder / "results/report.html").exists():
                shutil.rmtree(project.folder, ignore_errors=True)
                copy_code(project.folder)
                project.make()
        return project

    return finish


def copy_of(project: Project, folder: Path) -> Project:
    shutil.copytree(project.folder, folder, symlinks=True)
    return Project(folder, project.study)


@pytest.fixture
def finished(once, tmp_path) -> Project:
    """The project after a complete run of tests/tiny.yaml, metadata and time stamps included."""
    return copy_of(once("engression"), tmp_path / "project")


@pytest.fixture
def finished_lora(once, tmp_path) -> Project:
    """The project after a complete run of tests/tiny_lora.yaml."""
    return copy_of(once("lora_ablation"), tmp_path / "project")


@pytest.fixture
def fresh_lora(tmp_path) -> Project:
    """The project as cloned, to run the LoRA ablation in."""
    return Project(copy_code(tmp_path / "project"), "lora_ablation")


@pytest.fixture
def finished_gpcm(once, tmp_path) -> Project:
    """The project after a complete run of tests/tiny_gpcm.yaml."""
    return copy_of(once("deep_gpcm"), tmp_path / "project")


@pytest.fixture
def fresh_gpcm(tmp_path) -> Project:
    """The project as cloned, to run the Deep-GPCM study in."""
    return Project(copy_code(tmp_path / "project"), "deep_gpcm")


@pytest.fixture
def finished_tep(once, tmp_path) -> Project:
    """The project after a complete run of tests/tiny_tep.yaml."""
    return copy_of(once("tep_bp"), tmp_path / "project")


@pytest.fixture
def fresh_tep(tmp_path) -> Project:
    """The project as cloned, to run the search of learning rules in."""
    return Project(copy_code(tmp_path / "project"), "tep_bp")
