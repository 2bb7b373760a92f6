"""Results as one archive, so that another clone has them and makes nothing again.

    python -m scripts.spine.share pack <results> <archive>
    python -m scripts.spine.share unpack <archive>

Beside the results, with their seals, finished units and compiled code, Snakemake's records are
packed: without them what is older than the clone would be made again. An archive is an ordinary
.tar.gz, whose first member, isospeed.json, lists all others with size, checksum and time.
"""

import os
import shutil
import sys
import tarfile
import zlib
from base64 import urlsafe_b64decode
from binascii import Error as NotBase64
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import IO, Any

from pydantic import ValidationError

from scripts.lib.config import check_results
from scripts.lib.faults import ConfigError, reason
from scripts.lib.files import replacing
from scripts.lib.provenance import commit, computing_versions, instruction_set
from scripts.lib.root import ROOT
from scripts.lib.seals import checksum
from scripts.lib.typed import Model

CONTENTS = "isospeed.json"
RECORDS = ".snakemake/metadata"
# Of the repository itself, in a folder of results.
KEPT = ("README.md", "records")
LONGEST = 256 * 2**20  # bytes of the list of contents


class Packed(Model):
    """A file of an archive: its path below the project, size, checksum, time of its last change."""

    path: str
    bytes: int
    checksum: str
    changed_ns: int


class Contents(Model):
    """What an archive holds, and by which code, versions and processor it was made."""

    format: int
    results: str
    commit: dict[str, Any]
    versions: dict[str, str]
    instruction_set: str
    files: list[Packed]


@dataclass(frozen=True)
class Unpacked:
    """What was unpacked: number of files and bytes, and what is another thing here."""

    results: str
    files: int
    bytes: int
    differs: list[str]


def results_of(record: str) -> str:
    """The file that one of Snakemake's records is about, by the record's path; "" if of none."""
    try:
        return urlsafe_b64decode(record.replace("/", "").replace("@", "")).decode()
    except (NotBase64, UnicodeDecodeError):
        return ""


def to_pack(root: Path, results: str) -> Iterator[Path]:
    """Files of the results, and Snakemake's records of them."""
    for path in sorted((root / results).rglob("*")):
        own = path.relative_to(root / results).parts[0] in KEPT
        if path.is_file() and not own and path.suffix != ".tmp":
            yield path
    for path in sorted((root / RECORDS).rglob("*")):
        about = results_of(path.relative_to(root / RECORDS).as_posix())
        if path.is_file() and about.startswith(f"{results}/"):
            yield path


def pack(results: str, archive: Path, root: Path = ROOT) -> Contents:
    """Write the archive of a folder of results; ConfigError if there is none, or a run goes on."""
    check_results(results)
    if Path(results).is_absolute():
        raise ConfigError(
            f"RESULTS is {results}; only results below the project are packed, as another clone "
            "has them at another path."
        )
    if any((root / ".snakemake/locks").glob("*")):
        raise ConfigError(
            "Snakemake is running here, or was killed; wait for it, or call snakemake --unlock."
        )
    files = list(to_pack(root, results))
    if not any(path.is_relative_to(root / results) for path in files):
        raise ConfigError(f"RESULTS is {results}, where there are no results.")
    contents = Contents(
        format=1,
        results=results,
        commit=commit(),
        versions=computing_versions(),
        instruction_set=instruction_set(),
        files=[
            Packed(
                path=path.relative_to(root).as_posix(),
                bytes=path.stat().st_size,
                checksum=checksum(path),
                changed_ns=path.stat().st_mtime_ns,
            )
            for path in files
        ],
    )
    with replacing(archive) as temporary, tarfile.open(temporary, "w:gz", compresslevel=1) as tar:
        with TemporaryDirectory(dir=archive.parent) as folder:
            listed = Path(folder, CONTENTS)
            listed.write_text(contents.model_dump_json(), encoding="utf-8")
            tar.add(listed, CONTENTS)
        for path, packed in zip(files, contents.files, strict=True):
            tar.add(path.resolve(), packed.path)
    return contents


def unpack(archive: Path, root: Path = ROOT) -> Unpacked:
    """Put an archive's files where they were; all or none of them.

    ConfigError in one sentence for what is no archive of `pack`, is damaged, would lie elsewhere
    than below its results, or meets results that are there already. Nothing in it is executed.
    """
    with TemporaryDirectory(prefix=".unpacking-", dir=root) as folder:
        try:
            with tarfile.open(archive, "r:gz") as tar:
                members = iter(tar)
                contents = read_contents(tar, next(members, None), archive)
                check_places(contents, archive, root)
                check_room(contents, root)
                for packed in contents.files:
                    take(tar, next(members, None), packed, Path(folder), archive)
                if extra := next(members, None):
                    raise ConfigError(f"{archive}: holds {extra.name!r}, which its list has not.")
        except (OSError, EOFError, tarfile.TarError, ValueError, zlib.error) as error:
            raise ConfigError(f"{archive}: is no whole archive ({reason(error)}).") from error
        move(Path(folder), contents, root)
    return Unpacked(
        contents.results,
        len(contents.files),
        sum(packed.bytes for packed in contents.files),
        differences(contents),
    )


def read_contents(tar: tarfile.TarFile, member: tarfile.TarInfo | None, archive: Path) -> Contents:
    """The list of an archive's files, its first member."""
    if member is None or member.name != CONTENTS or not member.isreg() or member.size > LONGEST:
        raise ConfigError(f"{archive}: is no archive of `make pack`, which begins with {CONTENTS}.")
    try:
        contents = Contents.model_validate_json(_opened(tar, member).read())
    except ValidationError as error:
        raise ConfigError(f"{archive}: its {CONTENTS} is not that of `make pack`.") from error
    if contents.format != 1:
        raise ConfigError(f"{archive}: has the format {contents.format}; this code reads 1.")
    return contents


def check_places(contents: Contents, archive: Path, root: Path) -> None:
    """ConfigError unless all files belong below the results or to Snakemake's records of them."""
    check_results(contents.results)
    if Path(contents.results).is_absolute():
        raise ConfigError(f"{archive}: is of {contents.results}, outside the project.")
    for packed in contents.files:
        path = PurePosixPath(packed.path)
        plain = path.as_posix() == packed.path and ".." not in path.parts and not path.is_absolute()
        of_results = packed.path.startswith(f"{contents.results}/")
        kept = of_results and path.relative_to(contents.results).parts[0] in KEPT
        about = results_of(packed.path.removeprefix(f"{RECORDS}/"))
        of_records = packed.path.startswith(f"{RECORDS}/") and about.startswith(
            f"{contents.results}/"
        )
        if not plain or kept or not (of_results or of_records) or "\0" in packed.path:
            raise ConfigError(
                f"{archive}: holds {packed.path!r}, which is none of the results in "
                f"{contents.results}; nothing was unpacked."
            )
        if packed.bytes < 0:
            raise ConfigError(f"{archive}: states {packed.bytes} bytes of {packed.path!r}.")
    for name in tops(contents):
        if (root / contents.results / name).exists():
            raise ConfigError(
                f"{contents.results}/{name} is there already; move it away first, nothing was "
                "unpacked."
            )


def check_room(contents: Contents, root: Path) -> None:
    """ConfigError unless the disk has room for all files."""
    wanted, free = sum(packed.bytes for packed in contents.files), shutil.disk_usage(root).free
    if wanted > free:
        raise ConfigError(f"The archive's files are {wanted} bytes, and {root} has {free} left.")


def tops(contents: Contents) -> list[str]:
    """Files and folders directly below the results."""
    inside = (p.path for p in contents.files if p.path.startswith(f"{contents.results}/"))
    below = (PurePosixPath(path).relative_to(contents.results) for path in inside)
    return list(dict.fromkeys(path.parts[0] for path in below))


def take(
    tar: tarfile.TarFile, member: tarfile.TarInfo | None, packed: Packed, into: Path, archive: Path
) -> None:
    """One file, checked against the list, into a folder of its own."""
    named = member is not None and member.name == packed.path
    if not named or not member.isreg() or member.size != packed.bytes:
        raise ConfigError(f"{archive}: is damaged: {packed.path} is missing or another file.")
    path = into / packed.path
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("xb") as file:
        shutil.copyfileobj(_opened(tar, member), file, 1 << 20)
    if checksum(path) != packed.checksum:
        raise ConfigError(f"{archive}: is damaged: {packed.path} has other bytes than packed.")
    os.utime(path, ns=(packed.changed_ns, packed.changed_ns))


def _opened(tar: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    opened = tar.extractfile(member)
    assert opened is not None  # of a regular file
    return opened


def move(folder: Path, contents: Contents, root: Path) -> None:
    """Records first: after a kill in between there are records of no file, as of none."""
    for packed in contents.files:
        if packed.path.startswith(f"{RECORDS}/"):
            (root / packed.path).parent.mkdir(parents=True, exist_ok=True)
            os.replace(folder / packed.path, root / packed.path)
    (root / contents.results).mkdir(parents=True, exist_ok=True)
    for name in tops(contents):
        os.rename(folder / contents.results / name, root / contents.results / name)


def differences(contents: Contents) -> list[str]:
    """What is another thing here than where the archive was made, so that jobs may run again."""
    here = commit()
    found = [] if here == contents.commit and not here["dirty"] else ["the code"]
    found += ["versions of packages"] * (contents.versions != computing_versions())
    return found + ["the processor"] * (contents.instruction_set != instruction_set())


def told(words: list[str]) -> str:
    """Pack or unpack as the command line says, and what was done."""
    match words:
        case ["pack", results, archive]:
            contents = pack(results.rstrip("/"), Path(archive))
            return f"{archive}: {len(contents.files)} files of {contents.results}."
        case ["unpack", archive] if archive:
            done = unpack(Path(archive))
            said = f"{done.results}: {done.files} files, {done.bytes / 1e6:.1f} MB. "
            if done.differs:
                said += f"Not as where they were made: {', '.join(done.differs)}. "
            return said + "Next: snakemake -n names what would be made again, if anything."
    raise ConfigError("Name the archive, as in: make unpack ARCHIVE=results.tar.gz.")


if __name__ == "__main__":
    try:
        print(told(sys.argv[1:]))
    except ConfigError as error:
        sys.exit(str(error))
