"""Setting up: the CPU build of PyTorch where its index answers, else what the registry has."""

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from scripts.lib.code import ROOT

pytestmark = pytest.mark.spread
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
TARGETS = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("docs/**/*.md"))]


def index(folder: Path, *versions: str) -> str:
    """A package index with a PyTorch of these versions that is empty; its address."""
    for version in versions:
        place = folder / "simple/torch"
        place.mkdir(parents=True, exist_ok=True)
        about = f"torch-{version}.dist-info"
        wheel = place / f"torch-{version}-py3-none-any.whl"
        with zipfile.ZipFile(wheel, "w") as archive:
            archive.writestr("torch.py", f"version = {version!r}\n")
            metadata = f"Metadata-Version: 2.1\nName: torch\nVersion: {version}\n"
            archive.writestr(f"{about}/METADATA", metadata)
            archive.writestr(
                f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
            )
            archive.writestr(f"{about}/RECORD", "")
        links = "".join(f'<a href="{one.name}">{one.name}</a>' for one in place.glob("*.whl"))
        (place / "index.html").write_text(links)
    return f"{folder.as_uri()}/simple"


@pytest.fixture
def installed(tmp_path):
    """What `make` installs, as a function of the words after it, and what it said."""
    (tmp_path / "Makefile").write_text(MAKEFILE)
    (tmp_path / "requirements.lock").write_text("torch==2.13.0\n")
    registry = index(tmp_path / "registry", "2.13.0")
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("PIP_", "UV_", "MAKE"))}
    clean |= {"PIP_CONFIG_FILE": os.devnull, "PIP_INDEX_URL": registry, "UV_OFFLINE": "1"}

    def install(*words: str) -> tuple[str, str]:
        ready = ".venv/ready-cuda" if "CUDA=1" in words else ".venv/ready"
        command = ["make", ready, f"PYTHON={sys.executable}", *words]
        done = subprocess.run(
            command, cwd=tmp_path, env=clean, capture_output=True, text=True, timeout=100
        )
        assert done.returncode == 0, done.stdout + done.stderr
        python = tmp_path / ".venv/bin/python"
        found = subprocess.run(
            [python, "-c", "import torch; print(torch.version)"],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        return found.stdout.strip(), done.stdout

    return install


linux = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere PyPI has the CPU build")


@linux
@pytest.mark.slow
def test_the_cpu_build_is_taken_where_its_index_has_it_and_cuda_where_it_is_asked(
    installed, tmp_path
):
    cpu = f"CPU_INDEX={index(tmp_path / 'cpu', '2.13.0+cpu', '2.12.0+cpu')}"
    assert installed(cpu)[0] == "2.13.0+cpu"
    assert installed(cpu, "CUDA=1")[0] == "2.13.0"
    assert not (tmp_path / ".venv/ready").exists()
    # It stays so for every target that does not say otherwise.
    command = ["make", "--dry-run", "run"]
    plan = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert plan.stdout.splitlines() == [".venv/bin/snakemake --cores all"]


@linux
@pytest.mark.slow
def test_without_an_answer_of_that_index_the_registry_serves_and_it_is_said(installed):
    version, said = installed("CPU_INDEX=http://127.0.0.1:9/simple")
    assert version == "2.13.0"
    assert "\nhttp://127.0.0.1:9/simple has no answer; " in said


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_target_of_make_that_a_page_names_is_there(page):
    text = page.read_text(encoding="utf-8")
    named = re.findall(r"(?:^ *|`)make ([a-z]+)\b", text, re.MULTILINE)
    assert set(named) <= TARGETS


def test_targets_are_found_and_readme_names_them():
    assert {"run", "quick", "test"} <= TARGETS
    readme = re.findall(r"(?:^ *|`)make ([a-z]+)\b", PAGES[0].read_text(), re.MULTILINE)
    assert {"run", "quick", "test", "study", "slurm"} <= set(readme)
