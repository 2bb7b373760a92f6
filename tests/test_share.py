"""Packed results are results in another clone: nothing runs again, nothing lies outside."""

import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from tests.project import Project, copy_code

CONTENTS = "isospeed.json"


def share(folder: Path, *words: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "scripts.spine.share", *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)


def clone(folder: Path, study: str = "engression") -> Project:
    """The project as somebody else has it: another path, and files newer than any result."""
    project = Project(copy_code(folder), study)
    for path in folder.rglob("*"):
        os.utime(path)
    return project


def tree(folder: Path) -> dict[str, bytes]:
    """Every file of a project but compiled Python."""
    paths = [path for path in folder.rglob("*") if path.is_file() or path.is_symlink()]
    return {
        path.relative_to(folder).as_posix(): b"" if path.is_symlink() else path.read_bytes()
        for path in paths
        if "__pycache__" not in path.parts
    }


@pytest.fixture(scope="module")
def archive(once, tmp_path_factory) -> Path:
    """The archive of a finished tiny run."""
    path = tmp_path_factory.mktemp("archive") / "results.tar.gz"
    done = share(once("engression").folder, "pack", "results", str(path))
    assert done.returncode == 0, done.stderr
    return path


@pytest.fixture
def refused(tmp_path):
    """The sentence with which an archive is refused by a clone, in which nothing has changed."""
    project = clone(tmp_path / "clone")

    def refuse(archive: Path) -> str:
        before, outside = tree(project.folder), set(tmp_path.iterdir())
        done = share(project.folder, "unpack", str(archive))
        assert done.returncode == 1
        assert done.stdout == ""
        assert done.stderr.count("\n") == 1, done.stderr
        assert tree(project.folder) == before
        assert set(tmp_path.iterdir()) == outside
        return done.stderr.strip()

    refuse.project = project
    return refuse


def changed(archive: Path, path: Path, change) -> Path:
    """The archive written again, each member as `change(name, bytes)` says."""
    with tarfile.open(archive) as old, tarfile.open(path, "w:gz") as new:
        for member in old:
            content = old.extractfile(member).read()
            for name, written in change(member.name, content):
                info = tarfile.TarInfo(name)
                info.size = len(written)
                new.addfile(info, io.BytesIO(written))
    return path


def listing(text: bytes, change) -> bytes:
    found = json.loads(text)
    change(found)
    return json.dumps(found).encode()


def test_unpacked_in_another_clone_nothing_runs_again(once, archive, tmp_path):
    project = clone(tmp_path / "a clone's $(touch ran) 'path'")
    assert project.jobs()["engression_train"] > 1  # a control
    done = share(project.folder, "unpack", str(archive))
    assert done.returncode == 0, done.stderr
    assert project.jobs() == {}
    assert project.rows() == once("engression").rows()
    assert list(project.folder.glob(".unpacking*")) == []
    # What was unpacked is a cache as any: an edit makes again what depends on it, and no more.
    project.edit("scripts/lib/stats.py", "draws: int = 10_000", "draws: int = 9_000")
    assert "engression_train" not in project.jobs()


def test_without_snakemake_s_records_pages_would_be_made_again(archive, tmp_path):
    """A control: why records are packed."""
    project = clone(tmp_path / "clone")
    assert share(project.folder, "unpack", str(archive)).returncode == 0
    shutil.rmtree(project.folder / ".snakemake")
    assert "report" in project.jobs()


@pytest.mark.slow
def test_compiled_code_is_unpacked_with_the_rest(once, tmp_path):
    path = tmp_path / "results.tar.gz"
    assert share(once("tep_bp").folder, "pack", "results", str(path)).returncode == 0
    project = clone(tmp_path / "clone", "tep_bp")
    assert share(project.folder, "unpack", str(path)).returncode == 0
    assert project.jobs() == {}


def test_what_is_there_is_never_overwritten(archive, refused):
    mine = refused.project.folder / "results/engression/mine.csv"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    assert "results/engression is there already" in refused(archive)


@pytest.mark.parametrize("kept", [0.0, 0.5, 0.999])
def test_a_part_of_an_archive_is_refused(kept, archive, refused, tmp_path):
    path = tmp_path / "part.tar.gz"
    content = archive.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    assert refused(path).startswith(f"{path}: is ")


@pytest.mark.parametrize("place", [0.01, 0.3, 0.7])
def test_a_damaged_archive_is_refused(place, archive, refused, tmp_path):
    content = bytearray(archive.read_bytes())
    content[int(place * len(content))] ^= 0x10
    path = tmp_path / "damaged.tar.gz"
    path.write_bytes(content)
    assert refused(path).startswith(f"{path}: ")


def test_bytes_that_are_not_those_that_were_packed_are_refused(archive, refused, tmp_path):
    def change(name, content):
        other = content.swapcase() if name.endswith("summary.csv") else content
        return [(name, other)]

    assert "summary.csv has other bytes" in refused(changed(archive, tmp_path / "x.tar.gz", change))


@pytest.mark.parametrize("content", [b"", b"PK\3\4", b"no archive", b"\x1f\x8b\x08\x00"])
def test_what_is_no_archive_is_refused(content, refused, tmp_path):
    path = tmp_path / "x.tar.gz"
    path.write_bytes(content)
    assert "is no " in refused(path)
    assert "is no " in refused(tmp_path / "missing.tar.gz")


def test_an_archive_of_something_else_is_refused(refused, tmp_path):
    path = tmp_path / "x.tar.gz"
    (tmp_path / "file").write_text("x")
    with tarfile.open(path, "w:gz") as tar:
        tar.add(tmp_path / "file", "results/x")
    assert "is no archive of `make pack`" in refused(path)


HOSTILE = [
    "../outside",
    "results/../../outside",
    "/tmp/isospeed-outside",
    "results/engression/../../scripts/lib/stats.py",
    "scripts/lib/stats.py",
    "Snakefile",
    "results/README.md",
    "results/records/mine.csv",
    ".git/hooks/pre-commit",
    ".snakemake/locks/0.input.lock",
    ".snakemake/metadata/../../outside",
    ".snakemake/metadata/Li4vb3V0c2lkZQ==",  # ../outside
    "results",
    "",
]


@pytest.mark.parametrize("place", HOSTILE)
def test_no_file_is_put_outside_of_the_results(place, archive, refused, tmp_path):
    def change(name, content):
        if name == CONTENTS:
            listed = listing(content, lambda found: found["files"][0].update(path=place))
            return [(name, listed)]
        return [(place if name == first else name, content)]

    with tarfile.open(archive) as tar:
        first = tar.getnames()[1]
    said = refused(changed(archive, tmp_path / "x.tar.gz", change))
    assert "is none of the results" in said or "outside" in said


@pytest.mark.parametrize("results", ["..", "/tmp/x", "scripts", ".", "results/records", "a;b c"])
def test_results_of_another_place_are_refused(results, archive, refused, tmp_path):
    def change(name, content):
        if name == CONTENTS:
            content = listing(content, lambda found: found.update(results=results))
        return [(name, content)]

    assert refused(changed(archive, tmp_path / "x.tar.gz", change))


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE])
def test_links_and_pipes_are_no_files(kind, archive, refused, tmp_path):
    path = tmp_path / "x.tar.gz"
    with tarfile.open(archive) as old, tarfile.open(path, "w:gz") as new:
        for member in old:
            content = old.extractfile(member)
            if member.name.endswith("summary.csv"):
                member.type, member.linkname = kind, "/etc/passwd"
                member.size = 0
                new.addfile(member)
            else:
                new.addfile(member, content)
    assert "is damaged" in refused(path)


def test_a_file_that_the_list_lacks_is_refused(archive, refused, tmp_path):
    def change(name, content):
        return [(name, content), *([("extra", b"x")] * name.endswith("report.html"))]

    assert refused(changed(archive, tmp_path / "x.tar.gz", change))


def test_a_list_that_states_more_than_the_disk_holds_is_refused(archive, refused, tmp_path):
    def change(name, content):
        if name == CONTENTS:
            content = listing(content, lambda found: found["files"][0].update(bytes=10**18))
        return [(name, content)]

    assert "bytes, and" in refused(changed(archive, tmp_path / "x.tar.gz", change))


def test_a_run_that_goes_on_is_not_packed(finished, tmp_path):
    assert "no results" in share(finished.folder, "pack", "results/none", "x").stderr
    locks = finished.folder / ".snakemake/locks"
    locks.mkdir(exist_ok=True)
    (locks / "0.input.lock").write_text("results/x")
    done = share(finished.folder, "pack", "results", str(tmp_path / "x.tar.gz"))
    assert "Snakemake is running here" in done.stderr
    assert list(tmp_path.glob("*.tar.gz")) == []
