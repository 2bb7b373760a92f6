"""Every file below results is sealed, or checks itself, or is read by nobody; damage is healed."""

import random
import shutil
from pathlib import Path

import pytest

from scripts.lib.seals import fault, parts, read_seal, seal_path
from tests.conftest import copy_of
from tests.integrity.histories import DAMAGES
from tests.project import TINY, Project

pytestmark = pytest.mark.spread


def sealed(project: Project) -> list[Path]:
    """Files and folders that a job of the workflow made."""
    seals = sorted((project.folder / "results").rglob(".*.seal"))
    return [seal.with_name(seal.name[1:].removesuffix(".seal")) for seal in seals]


@pytest.mark.parametrize("study", TINY)
def test_every_file_is_sealed_or_a_unit_or_a_log(once, study):
    project = once(study)
    made = {file for path in sealed(project) for file in (*parts(path), seal_path(path))}
    files = {file for file in (project.folder / "results").rglob("*") if file.is_file()}
    left = [file.relative_to(project.folder).as_posix() for file in files - made]
    # Units have a checksum of their own (test_seals.py), logs are for people.
    known = ("/logs/", f"results/{study}/units/", "/.snakemake_timestamp")
    assert [path for path in left if not any(part in path for part in known)] == []
    assert len(made) > 30


@pytest.mark.parametrize("study", TINY)
@pytest.mark.parametrize("how", DAMAGES)
def test_damage_to_each_of_them_is_found(once, study, how, tmp_path):
    for number, path in enumerate(sealed(once(study))):
        seal, copy = read_seal(path), tmp_path / str(number) / path.name
        assert fault(path, seal.file, seal.key) is None
        copy.parent.mkdir()
        (shutil.copytree if path.is_dir() else shutil.copy)(path, copy)
        shutil.copy(seal_path(path), seal_path(copy))
        victim = max(parts(copy), key=lambda file: file.stat().st_size)
        (copy.parent / f"another{victim.suffix}").write_bytes(b"a neighbour")
        DAMAGES[how](victim, random.Random(number))
        assert fault(copy, seal.file, seal.key), path


def heal(project: Project) -> None:
    """Damage a file of every folder, run once, and compare."""
    rows, draw = project.rows(), random.Random(0)
    by_folder = {path.parent: path for path in sealed(project) if path.is_file()}
    for number, path in enumerate(by_folder.values()):
        DAMAGES[list(DAMAGES)[number % len(DAMAGES)]](path, draw)
    done = project.snakemake()
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert project.rows() == rows
    assert project.jobs() == {}
    for path in sealed(project):
        seal = read_seal(path)
        assert fault(path, seal.file, seal.key) is None


def test_damage_everywhere_is_healed_by_the_next_call(finished):
    heal(finished)


@pytest.mark.slow
@pytest.mark.parametrize("study", [study for study in TINY if study != "engression"])
def test_damage_everywhere_is_healed_by_the_next_call_in_every_study(once, study, tmp_path):
    heal(copy_of(once(study), tmp_path / "project"))
