"""Whatever is edited, killed, damaged or lost, tables are those of a fresh clone in that state."""

import fcntl
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integrity.histories import EDITS, STUDIES, History, answers, clone, targets

pytestmark = pytest.mark.spread
IN_CI = 20


@pytest.fixture(scope="session")
def shared(tmp_path_factory) -> Path:
    """A folder that all test processes of this run share."""
    root = tmp_path_factory.getbasetemp()
    return root.parent if "PYTEST_XDIST_WORKER" in os.environ else root


@pytest.fixture(scope="session")
def start(shared) -> Path:
    """A finished run of all studies without edits."""
    folder = shared / "histories-start"
    with (shared / "histories-start.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "finished").exists():
            shutil.rmtree(folder, ignore_errors=True)
            clone(folder).make(*targets())
            (folder / "finished").touch()
    return folder


@pytest.fixture(scope="session")
def truth(shared, start) -> Callable[[str, set], dict]:
    """The tables of a study as a fresh clone with some edits makes them, computed once each.

    Compiled kernels are those of `start`: no edit changes them, and making them takes longest.
    """

    def tables(study: str, edits: set) -> dict:
        own = [edit for edit in EDITS if edit in edits and edit.study == study]
        if not own:
            return answers(start, study)
        name = f"truth-{study}-{'-'.join(str(EDITS.index(edit)) for edit in own)}"
        with (shared / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (shared / f"{name}.json").exists():
                project = clone(shared / name, frozenset(own))
                for kernel in (start / "results" / study).glob("*numba*"):
                    copy = shutil.copytree if kernel.is_dir() else shutil.copy
                    target = project.folder / kernel.relative_to(start)
                    target.parent.mkdir(parents=True, exist_ok=True)
                    copy(kernel, target)
                project.make(*targets([study]), cores=1)
                (shared / f"{name}.json").write_text(json.dumps(answers(project.folder, study)))
                shutil.rmtree(project.folder)
        return json.loads((shared / f"{name}.json").read_text())

    return tables


def live(seed: int, events: int, start: Path, truth: Callable, folder: Path) -> None:
    """One history, and the comparison at its end."""
    history = History(shutil.copytree(start, folder / "project"), seed)
    history.live(events)
    history.settle()
    print(f"seed {seed}: {'; '.join(history.log)}")
    for study in STUDIES:
        found = answers(history.folder, study)
        assert found == truth(study, history.state), (study, history.log)


@pytest.mark.histories
@pytest.mark.parametrize("seed", range(IN_CI))
def test_tables_are_those_of_a_fresh_clone(seed, start, truth, tmp_path):
    live(seed, 2, start, truth, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(IN_CI, 300))
def test_tables_are_those_of_a_fresh_clone_in_further_histories(seed, start, truth, tmp_path):
    live(seed, 4, start, truth, tmp_path)
