"""Every command of README and the documents is executed.

It is a line of a block of code that begins with one of PROGRAMS, or such words in backquotes. Most
run here, in a copy of the project whose only study is the tiny one; what CI, another test or a real
Slurm executes is named with it.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from snakemake.utils import update_config

from scripts.lib.code import ROOT
from tests.project import TINY, copy_code

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("docs/**/*.md"))]
PROGRAMS = r"(?:\.venv(?:-slurm)?/bin/)?(?:make|snakemake|sbatch|pip|python|pytest) |\.ci/\w+ "
COMMAND = rf"(?:[A-Z_]+=\S+ +)*(?:{PROGRAMS})"
# In this order: what a later one needs, an earlier one has made.
HERE = [
    "snakemake -n",
    "make run",
    "snakemake --cores all",
    "snakemake --cores all science",
    "make quick",
    "snakemake --cores all --configfile config/quick.yaml",
    "snakemake --unlock",
    "snakemake -np <file>",
    "make pack",
    "make pack RESULTS=results/quick",
    ".venv/bin/snakemake -n",
    "make schemas",
    "make study NAME=mine",
    "make study NAME=kmeans",
    "python -m tests.digests results > before.json",
    "python -m tests.conclusions results other/results",
]
IN_A_CLONE = ["make unpack ARCHIVE=results.tar.gz", "make unpack ARCHIVE=..."]
# An hour, other hardware: what would run is planned.
PLANNED = [
    "snakemake --cores all --configfile config/paper.yaml",
    "snakemake --cores all --resources gpu=4",
    "ATEN_CPU_CAPABILITY=avx2 MKL_CBWR=AVX2 OPENBLAS_CORETYPE=Haswell NUMBA_CPU_NAME=haswell "
    "snakemake --cores all",
]
# What they install, or ask of the network, depends on the day: their recipes are read by make.
RECIPES = [
    *(
        "make run CUDA=1",
        "make peers",
        "make gpu",
        "make gpu-record",
        "make audit",
        "make slurm",
        "make record",
    ),
    "make study",
]
# By file that executes them: with words of the command, or of how it is called there.
ELSEWHERE = {
    ".ci/run": {
        "make lint": "make lint",
        "make test": "make test",
    },
    "Makefile": {
        "pip install -r requirements.lock": "pip install --quiet --requirement",
        "pytest -m gpu": "pytest --numprocesses 0 -m gpu",
    },
    "tests/test_on_device.py": {
        "make gpu-record DEVICE=cpu RECORD=/tmp/gpu": 'floors.main("cpu", tmp_path)',
    },
    "tests/test_slurm.py": {
        "sbatch profiles/one_node/job": '"sbatch"',
        "sbatch profiles/one_node/job --configfile config/paper.yaml": '"--configfile"',
        "sbatch --cpus-per-task 64 --mem 128G profiles/one_node/job": '"--cpus-per-task"',
        ".ci/slurm_lab /tmp/lab 3 -- .venv/bin/pytest -m slurm --numprocesses 0": "SLURM_LAB",
    },
    ".ci/slurm_smoke": {
        ".venv-slurm/bin/snakemake --workflow-profile profiles/slurm -n": "-n --quiet all",
        ".venv-slurm/bin/snakemake --workflow-profile profiles/slurm --configfile "
        "config/paper.yaml config/cluster.yaml": "--workflow-profile profiles/slurm",
    },
    "tests/test_how_to_adapters.py": {"snakemake --cores all --configfile own.yaml": "OVERLAYS"},
    "tests/test_how_to_engression.py": {
        f"snakemake --cores all --configfile {name}.yaml": f"{name}"
        for name in ("law", "sample", "table")
    },
    "tests/test_how_to_own_data.py": {
        f"snakemake --cores all --configfile {name}.yaml": f"{name}"
        for name in ("responses", "tasks")
    },
    "tests/test_gpcm_triton.py": {
        "TRITON_INTERPRET=1 snakemake --cores all science --configfile mine.yaml": ".science("
    },
    "tests/test_how_to_overlays.py": {
        "snakemake --cores all --configfile mine.yaml": "BLOCKS",
        "snakemake --cores all science --configfile mine.yaml": "BLOCKS",
        "snakemake -n --configfile mine.yaml": "BLOCKS",
    },
    "tests/test_elsewhere.py": {
        "snakemake -s /path/to/isospeed/Snakefile --directory /path/to/work --cores all "
        "--configfile mine.yaml": "snakemake(folder"
    },
}


def commands(page: str) -> set[str]:
    """The commands of a page, without comments; those that && joins, one by one."""
    page = re.sub(r"```\w+\n.*?```", "", page, flags=re.DOTALL)  # files
    prose = re.sub(r"```.*?```", "", page, flags=re.DOTALL)
    blocks = [
        *re.findall(r"```\n(.*?)```", page, re.DOTALL),
        *re.findall(r"^ {4}(.*)", prose, re.M),
    ]
    lines = [re.sub(r"\s+#.*", "", line).strip() for line in "\n".join(blocks).splitlines()]
    quoted = re.findall(r"`([^`]+)`", re.sub(r"\s+", " ", prose))
    parts = [part for line in [*lines, *quoted] for part in line.split(" && ")]
    return {re.sub(" +", " ", part) for part in parts if re.match(COMMAND, part)}


def clone(folder: Path) -> Path:
    """The project in another folder, with the environment of these tests."""
    copy_code(folder)
    for path in [ROOT / "Makefile", *ROOT.glob("*.lock")]:
        shutil.copy2(path, folder)
    shutil.copytree(ROOT / "tests", folder / "tests", dirs_exist_ok=True)
    (folder / ".venv").mkdir()
    for name in ("bin", "lib", "pyvenv.cfg"):
        (folder / ".venv" / name).symlink_to(Path(sys.prefix, name))
    (folder / ".venv/ready").touch()
    return folder


def execute(command: str, folder: Path) -> str:
    """What a command says that succeeds, in a shell in which the environment is activated."""
    path = f"{folder}/.venv/bin{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=folder, env=os.environ | {"PATH": path}, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> Path:
    """A clone whose programmes are all the tiny study's."""
    folder = clone(tmp_path_factory.mktemp("commands") / "project")
    tiny = yaml.safe_load((ROOT / TINY["engression"]).read_text())
    file = folder / "config/engression.yaml"
    config = yaml.safe_load(file.read_text())
    update_config(config, {"engression": tiny["engression"]})
    file.write_text(yaml.safe_dump(config, sort_keys=False))
    file = folder / "config/config.yaml"
    file.write_text(re.sub(r"studies: \[.*\]", "studies: [engression]", file.read_text()))
    (folder / "config/quick.yaml").write_text("pathvars: {results: results/quick}\n")
    return folder


def test_every_command_is_executed_somewhere_and_none_that_is_gone():
    found = set().union(*(commands(page.read_text(encoding="utf-8")) for page in PAGES))
    known = {*HERE, *IN_A_CLONE, *PLANNED, *RECIPES}
    assert found ^ known.union(*ELSEWHERE.values()) == set()


@pytest.mark.parametrize("command", HERE)
def test_a_command_does_as_it_stands(command, small):
    if "other/results" in command:
        shutil.copytree(small / "results", small / "other/results", dirs_exist_ok=True)
    execute(command.replace("<file>", "results/engression/summary.csv"), small)
    if command in ("make run", "make quick"):
        page = "results/report.html" if command == "make run" else "results/quick/report.html"
        assert (small / page).exists()


@pytest.mark.parametrize("command", IN_A_CLONE)
def test_a_command_does_so_in_another_clone(command, small, tmp_path):
    archive = small / "results.tar.gz"
    if not archive.exists():
        execute("make run && make pack", small)
    other = clone(tmp_path / "other")
    shutil.copytree(small / "config", other / "config", dirs_exist_ok=True)
    shutil.copy2(archive, other)
    execute(command.replace("...", "results.tar.gz"), other)
    assert (other / "results/report.html").exists()


@pytest.mark.parametrize("command", PLANNED)
def test_a_long_command_is_planned(command, tmp_path):
    assert "Job stats:" in execute(f"{command} -n", clone(tmp_path / "project"))


@pytest.mark.parametrize("command", RECIPES)
def test_a_recipe_is_one_that_make_can_read(command, small):
    assert execute(f"{command} --dry-run", small)


@pytest.mark.parametrize(("file", "command"), [(f, c) for f, by in ELSEWHERE.items() for c in by])
def test_what_is_executed_elsewhere_is_there(file, command):
    assert ELSEWHERE[file][command] in (ROOT / file).read_text(encoding="utf-8")
