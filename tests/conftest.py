"""Projects to run, edit and break."""

import os
import shutil

import pytest
import torch

from tests.project import Project, copy_code


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
def _finished(tmp_path_factory) -> Project:
    project = Project(copy_code(tmp_path_factory.mktemp("finished") / "project"))
    done = project.snakemake()
    assert done.returncode == 0, done.stderr + done.stdout
    return project


@pytest.fixture
def finished(_finished, tmp_path) -> Project:
    """The project after a complete run of tests/tiny.yaml, metadata and time stamps included."""
    shutil.copytree(_finished.folder, tmp_path / "project", symlinks=True)
    return Project(tmp_path / "project")
