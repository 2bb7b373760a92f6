"""Projects to run, edit and break."""

import fcntl
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.project import Project, copy_code


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The tests of a file run in one process, which makes its fixtures once, but for `spread`."""
    for item in items:
        if not item.get_closest_marker("spread"):
            item.add_marker(pytest.mark.xdist_group(str(item.path)))


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
