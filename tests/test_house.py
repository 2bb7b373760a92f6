"""The floor plan: one role, one name; typed things flow; code cites what is in the repository."""

import ast
import re
import sys
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import pytest

from scripts.lib.code import ROOT

SCRIPTS = sorted(path for path in (ROOT / "scripts").rglob("*.py") if path.read_text().strip())
STUDIES = ("engression", "lora_ablation", "deep_gpcm", "tep_bp")
# Shipped, and run by an overlay only; of two stages, with no rules of its own.
ON_REQUEST = ("regression",)
# Names that several studies have, each for one role.
ROLES = {
    "study": "a study of two stages: axes, data, implementations",
    "settings": "models of the section of the configuration",
    "checks": "what of a section goes together",
    "specs": "models of what jobs are told",
    "options": "models that settings and jobs share",
    "jobs": "which job computes what, and what is measured",
    "unit": "one unit: inputs to a row",
    "measured": "what is timed",
    "fetch": "stage: download what is pinned",
    "load": "stage: data as read",
    "train": "stage: units of an arm",
    "tables": "stage: tables of the chapter",
    "draw": "stage: figures of the chapter",
    "chapter": "what the chapter says beside its prose: findings, tables, limits",
    "kernel": "stage: compile what is compiled",
    "sources": "data sources: the one door to what users bring",
    "generator": "generated data",
    "split": "who trains, validates and tests",
    "store": "the study's data on disk",
    "reference": "the reference implementation",
    "original": "the published script, with its faults",
    "wrong": "twins that are wrong on purpose: the controls",
    "fit": "the loop that trains one unit",
    "stack": "that of units side by side",
    "network": "the network",
    "metrics": "metrics of a unit",
    "peers": "calls of other packages, which are compared with ours",
}
# The spine has these of studies of two stages.
GENERIC = {"jobs", "load", "train"}
CITATION = re.compile(r"\b(shared )?spec(ification)?,? (section )?\d|\btrap \d", re.IGNORECASE)


def functions() -> Iterator[tuple[Path, ast.FunctionDef]]:
    """All public functions and methods, and the public methods of classes."""
    for path in SCRIPTS:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                yield path, node


def test_what_flows_between_functions_has_a_type():
    """Rows and tables are `dict[str, Any]`; a bare `dict` says nothing of its keys."""
    bare = [
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name}({argument.arg})"
        for path, node in functions()
        for argument in [*node.args.args, *node.args.kwonlyargs]
        if getattr(argument.annotation, "id", "") == "dict"
    ]
    assert len(bare) <= 40, bare


def test_settings_are_read_by_attribute_and_not_by_text():
    looked_up = re.compile(r'\b(spec|train|config|options|workload|job|settings)\["')
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in SCRIPTS
        for number, line in enumerate(path.read_text().splitlines(), start=1)
        for _ in looked_up.findall(line)
    ]
    assert len(found) <= 60, found


def test_a_module_name_has_one_meaning():
    """A name that two packages have is that of a role, and a package has no name twice."""
    packages = defaultdict(list)
    for path in SCRIPTS:
        if path.stem != "__init__":
            packages[path.stem].append(path.relative_to(ROOT / "scripts").parts[0])
    for name, places in packages.items():
        assert len(places) == len(set(places)), f"{name} twice in {places}"
        if len(places) > 1:
            assert name in ROLES, f"{name} in {places}"
            known = {*STUDIES, *ON_REQUEST, *(["spine"] if name in GENERIC else [])}
            assert set(places) <= known, name


@pytest.mark.parametrize(
    ("study", "most"),
    [
        ("engression", 18),
        ("regression", 7),
        ("lora_ablation", 51),
        ("deep_gpcm", 55),
        ("tep_bp", 66),
    ],
)
def test_a_study_has_rooms_and_not_closets(study, most):
    modules = [path for path in SCRIPTS if path.is_relative_to(ROOT / "scripts" / study)]
    assert len(modules) <= most


@pytest.mark.parametrize("study", STUDIES[1:])
def test_every_study_with_rules_of_its_own_has_the_same_floor_plan(study):
    folder = ROOT / "scripts" / study
    for name in (
        "settings",
        "jobs",
        "unit",
        "measured",
        "load",
        "train",
        "tables",
        "draw",
        "chapter",
    ):
        assert (folder / f"{name}.py").is_file(), name
    for room in ("data", "models", "outcome"):
        assert (folder / room).is_dir(), room
    assert (folder / "models/reference.py").is_file() or (folder / "models/reference").is_dir()
    assert (ROOT / f"docs/studies/{study}.md").is_file()


def test_the_words_of_the_page_are_few_and_their_lines_short():
    """All templates together; what they decide is in the chapters' modules."""
    texts = [path.read_text(encoding="utf-8") for path in (ROOT / "workflow/report").glob("*.html")]
    assert len(texts) >= 6
    assert sum(len(text.splitlines()) for text in texts) <= 700
    assert max(len(line) for text in texts for line in text.splitlines()) <= 120
    decided = re.compile(r"namespace\(|rejectattr|\{% set ns")
    assert [text[:80] for text in texts if decided.search(text)] == []


def test_nothing_cites_a_document_that_is_not_in_the_repository():
    files = [*SCRIPTS, *(ROOT / "tests").rglob("*.py"), *(ROOT / "config").glob("*.yaml")]
    files += [*(ROOT / "workflow").rglob("*.smk"), *(ROOT / "workflow/report").iterdir()]
    cited = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in files
        if path != Path(__file__)
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if CITATION.search(line)
    ]
    assert not cited
    pages = re.compile(r"docs/[\w/-]+\.md")
    named = {page for path in files for page in pages.findall(path.read_text(encoding="utf-8"))}
    assert [page for page in named if not (ROOT / page).is_file()] == []


# Import name: name of the package, where they differ.
PACKAGES = {"sklearn": "scikit-learn", "yaml": "pyyaml", "llvmlite": "numba"}
# Of another package.
PACKAGES |= {"pydantic_core": "pydantic", "sqlalchemy": "optuna", "markupsafe": "jinja2"}


def test_every_package_that_is_imported_is_declared_for_users_and_for_nodes():
    imported = set()
    for path in SCRIPTS:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                imported.add(node.module.partition(".")[0])
    own = {"scripts", *sys.stdlib_module_names}
    wanted = {PACKAGES.get(name, name) for name in imported - own}
    told = tomllib.loads((ROOT / "pyproject.toml").read_text())
    groups = told["dependency-groups"]
    declared, optional = (
        {re.match("[a-z0-9-]+", line)[0] for line in lines}
        for lines in (told["project"]["dependencies"], groups["peers"] + groups["gpu"])
    )
    # Of other packages only the modules of peers know, and joblib deals units in the spine.
    assert wanted - declared == optional
    wanted &= declared
    nodes = (ROOT / "workflow/envs/isospeed.yaml").read_text()
    locked = (ROOT / "requirements.lock").read_text().lower()
    for name in wanted - {"snakemake"}:
        (version,) = re.findall(rf"- {name}==(.*)", nodes)
        assert f"\n{name}=={version}" in locked


def test_a_rule_is_short():
    """No rule has more than 24 lines, half of them at most 14; all rule files at most 775."""
    pattern = re.compile(r"^( *)rule ?(\w*):\n(.*?)(?=^ *rule ?\w*:|\Z|^\S)", re.M | re.S)
    texts = [path.read_text() for path in (ROOT / "workflow/rules").glob("*.smk")]
    lengths = {}
    for text in texts:
        for rule in pattern.finditer(text):
            lines = [line.strip() for line in rule[3].splitlines()]
            lengths[rule[2]] = 1 + sum(bool(line) and line[0] != "#" for line in lines)
    assert max(lengths.values()) <= 24, lengths
    assert median(lengths.values()) <= 14
    assert sum(len(text.splitlines()) for text in texts) <= 775
