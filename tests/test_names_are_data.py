"""What users name is data: in no shell, no markup and no path; and nothing is unpickled."""

import ast
import html
import json
import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from xml.etree import ElementTree

import matplotlib.pyplot as plt
import pytest
import yaml
from jinja2 import Environment
from snakemake.exceptions import WorkflowError

from scripts.lib.code import ROOT
from scripts.lib.figures import inline_svg
from scripts.lib.page import shown
from scripts.lib.page_figures import drawing
from scripts.spine.report import environment
from tests.lora_files import save_folder, small
from tests.project import Project, copy_code
from tests.rule_files import read
from tests.test_config_names import changed

# Text of one line; what it would do in a shell, a page, a format string or a path if it were not
# only text.
HOSTILE = [
    "'; touch MARKER; '",
    '"; touch MARKER; "',
    "$(touch MARKER)",
    "`touch MARKER`",
    "| touch MARKER &",
    "<script>alert(1)</script>",
    '" onload="alert(1)',
    "</svg><img src=x onerror=alert(1)>",
    "--><script>alert(1)</script><!--",
    "{wildcards.study} {input} {{7*7}} {0}",
    "%s %(name)s",
    "$\\notacommand$",
    "-rf",
    "~/x *",
    "\\",
    "grün \u202e漢字 \U0001f600",
]
# The same as names of files and folders, in which no / can be.
FILES = [text.replace("/", "_") for text in HOSTILE]
NAMES = [
    *HOSTILE,
    "../../up",
    "/etc/passwd",
    "a/b",
    "..",
    "",
    " ",
    "a b",
    "a\nb",
    "a\0b",
    "<x>",
    "é",
]


@pytest.fixture
def hostile(tmp_path) -> Project:
    """A project in a folder of a hostile name, whose adapters, classes and titles have them too."""
    project = Project(copy_code(tmp_path / "p $(touch MARKER) 'x\" ü"), "lora_ablation")
    adapters = small(adapters=32)
    names = [f"{FILES[i % len(FILES)]}{i}/{FILES[-i % len(FILES)]}.safetensors" for i in range(32)]
    labels = [["'; touch MARKER; '", "<script>alert(1)</script>"][i % 2] for i in range(32)]
    groups = [HOSTILE[i % len(HOSTILE)] for i in range(32)]
    adapters = replace(adapters, names=names, labels=labels, groups=groups)
    source = save_folder(adapters, tmp_path / FILES[0] / FILES[2])
    sections = {
        "source": "mine",
        "sources": {"mine": source},
        "arms": {"resident": {"about": " ".join(HOSTILE)}},
        "report": {"title": HOSTILE[5], "figure": {"label": HOSTILE[7] + HOSTILE[11]}},
    }
    project.tiny = project.overlay(
        **{key: json.dumps(value, ensure_ascii=False) for key, value in sections.items()}
    )
    return project


def outside_results(project: Project) -> set[str]:
    """All files above and in the project, but results and what Python and Snakemake keep."""
    kept = ("results", ".snakemake", "__pycache__", ".cache")
    paths = (path.relative_to(project.folder.parent) for path in project.folder.parent.rglob("*"))
    return {str(path) for path in paths if not set(kept) & set(path.parts)}


def commands(project: Project) -> list[str]:
    """Every command of a run, as Snakemake prints it."""
    done = project.snakemake("--dry-run", "--printshellcmds")
    assert done.returncode == 0, done.stderr + done.stdout
    printed = (done.stdout + done.stderr).splitlines()
    said = "Shell command: "
    found = [line.partition(said)[2] for line in printed if said in line]
    return [line for line in found if line != "None"]  # of rules without a command


def test_a_shell_hands_each_job_on_as_it_is(hostile, tmp_path_factory):
    """Each printed command is run by bash with a `python` that notes its arguments only."""
    printed = commands(hostile)
    bin, noted = tmp_path_factory.mktemp("bin"), tmp_path_factory.mktemp("noted")
    (bin / "python").write_text(f"#!/bin/bash\nprintf '%s\\0' \"$@\" > '{noted}'/$$\n")
    (bin / "python").chmod(0o755)
    path = {"PATH": f"{bin}:{os.environ['PATH']}"}
    before = outside_results(hostile)
    for line in printed:
        run = ["bash", "-euo", "pipefail", "-c", line]
        subprocess.run(run, cwd=hostile.folder, env=path, capture_output=True, check=True)
    assert outside_results(hostile) == before
    jobs = []
    for file in noted.iterdir():
        dash_m, module, job = file.read_text(encoding="utf-8").split("\0")[:-1]
        assert (dash_m, module.partition(".")[0]) == ("-m", "scripts")
        text = (hostile.folder / job[1:]).read_text() if job.startswith("@") else job
        jobs.append(json.loads(text))
    assert len(jobs) == len(printed) > 20
    loads = [job["spec"]["source"] for job in jobs if "tensors" in job["output"]]
    wanted = yaml.safe_load((hostile.folder / hostile.tiny).read_text())["lora_ablation"]["sources"]
    assert [source["path"] for source in loads] == [wanted["mine"]["path"]] * 2
    pages = [job["spec"]["studies"][0]["title"] for job in jobs if "page" in job["output"]]
    assert pages == [HOSTILE[5]]


@pytest.mark.slow
def test_a_run_with_hostile_names_makes_nothing_else_and_a_page_of_text(hostile):
    before = outside_results(hostile)
    hostile.make()
    assert outside_results(hostile) == before
    page = (hostile.folder / "results/report.html").read_text(encoding="utf-8")
    scripts = re.findall(r"<script|<img|onload=\"|onerror=\w+\(1\)[^&]*>(?<!&gt;)", page)
    assert scripts == ["<script"]  # the page's own
    assert html.escape("<script>alert(1)</script>") in page
    assert hostile.jobs() == {}


@pytest.mark.filterwarnings("ignore:Glyph")
@pytest.mark.parametrize("text", HOSTILE)
def test_figures_and_pages_show_a_text_as_text(text):
    figure, axes = plt.subplots()
    with plt.rc_context({"svg.fonttype": "none"}):
        axes.set_xlabel(text, parse_math=False)
        axes.set_title("plain")
        svg = inline_svg(figure, text)
    plt.close(figure)
    root = ElementTree.fromstring(svg)
    assert root.attrib["aria-label"] == text
    tags = {element.tag.rpartition("}")[2] for element in root.iter()}
    assert tags <= {"svg", "defs", "g", "path", "use", "text", "tspan", "style", "clipPath", "rect"}
    assert not any(name.startswith("on") for element in root.iter() for name in element.attrib)
    assert "<script" not in svg
    # A comment ends where it says, so a text in it cannot go on as markup.
    assert "<img" not in re.sub(r"<!--.*?-->", "", svg, flags=re.DOTALL)
    env = Environment(autoescape=True, finalize=shown)
    assert env.from_string('<p a="{{ x }}">{{ x }}</p>').render(x=text).count("<") == 2


# Places of a configuration whose names become parts of paths, columns or commands.
PLACES = {
    "engression.arms.{}": {"about": "Mine.", "role": "peer"},
    "engression.measure.contestants.{}": {"arm": "reference"},
    "engression.measure.workloads.{}": {"repeats": 0},
    "lora_ablation.sources.{}": {"kind": "parquet", "path": "x"},
    "deep_gpcm.sources.{}": {"kind": "generated"},
    "tep_bp.tasks.{}": {"kind": "npz", "path": "x"},
}
VALUES = ["studies", "pathvars.results", "engression.axes.law", "lora_ablation.selections"]


def set_at(where: str, name: str, value) -> dict:
    """The shipped configuration with an entry of this name, which may have dots in it."""
    *path, _ = where.split(".")
    config = node = changed({})
    for key in path:
        node = node.setdefault(key, {})
    node[name] = value
    return config


@pytest.mark.parametrize("where", PLACES)
def test_a_name_that_is_more_than_a_word_is_refused_in_a_line(where):
    for name in NAMES:
        with pytest.raises(WorkflowError) as error:
            read(set_at(where, name, PLACES[where]))
        said = str(error.value)
        assert said.startswith("Config: "), name
        assert "\n" not in said, name


@pytest.mark.parametrize("where", VALUES)
def test_a_value_that_becomes_a_path_is_a_known_one(where):
    for name in NAMES:
        if where == "pathvars.results" and name in ("a/b",):
            continue  # a folder
        value = name if where == "pathvars.results" else [name]
        with pytest.raises(WorkflowError) as error:
            read(changed({where: value}))
        assert "\n" not in str(error.value), name


# What executes code that comes with data: module or method, and the argument that forbids it.
NEVER = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve", "jsonpickle"}
CALLS = {"eval", "exec", "compile", "os.system", "os.popen", "yaml.unsafe_load", "yaml.full_load"}
GUARDED = {"torch.load": "weights_only", "np.load": "allow_pickle", "read_array": "allow_pickle"}
SAFE = {"weights_only": True, "allow_pickle": False}
# Processes of our own, which read no file.
PROCESSES = {"Parallel", "delayed"}


def executing(source: str) -> Iterator[str]:
    """Calls and imports in a source that would run code from data or through a shell."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (a.name for a in node.names if a.name.partition(".")[0] in NEVER)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in NEVER:
            if not {name.name for name in node.names} <= PROCESSES:
                yield node.module
        elif isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            given = {word.arg: getattr(word.value, "value", None) for word in node.keywords}
            if called in CALLS or called.endswith("read_pickle"):
                yield called
            for name, guard in GUARDED.items():
                if called.endswith(name) and given.get(guard) is not SAFE[guard]:
                    yield called
            if given.get("shell"):
                yield f"{called}(shell=True)"
            if called == "yaml.load" and "LOADER" not in ast.unparse(node):
                yield called
            if called.endswith("extractall"):
                yield called


def test_no_source_unpickles_evaluates_or_opens_a_shell():
    found = {
        f"{path.relative_to(ROOT)}: {what}"
        for path in (ROOT / "scripts").rglob("*.py")
        for what in executing(path.read_text(encoding="utf-8"))
    }
    # A law of the user's own is code that he names (engression.own).
    law = "scripts/engression/own_laws.py"
    assert found == {f"{law}: compile", f"{law}: exec"}


@pytest.mark.parametrize(
    "planted",
    [
        "import pickle",
        "from joblib import load",
        "import torch\ntorch.load(p)",
        "torch.load(p, weights_only=False)",
        "np.load(p)",
        "numpy.lib.format.read_array(f, allow_pickle=True)",
        "pd.read_pickle(p)",
        "eval(text)",
        "os.system(text)",
        "subprocess.run(text, shell=True)",
        "yaml.load(text, Loader=yaml.Loader)",
        "tar.extractall(p)",
    ],
)
def test_the_search_finds_what_is_planted(planted):
    """A control."""
    assert list(executing(planted))


def test_templates_escape_all_but_figures():
    folder = ROOT / "workflow/report"
    others = {path.name for path in folder.iterdir() if path.suffix not in (".html", ".yaml")}
    assert others == {"page.css", "page.js"}
    env = environment(folder)
    assert env.autoescape is True
    for path in folder.glob("*.html"):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"\|\s*safe|autoescape false", text), path
        env.parse(text)
    # Marked as markup in Python: what templates gave, figures, the page's own style and script.
    marked = {
        path.name
        for path in (ROOT / "scripts").rglob("*.py")
        if re.search(r"\bMarkup\(", path.read_text(encoding="utf-8"))
    }
    assert marked == {"report.py", "page_figures.py"}


def test_what_a_figure_shows_stays_text_in_its_name_and_its_numbers():
    svg = '<svg aria-label="A &lt;b&gt;; &lt;i&gt;x: 1"><text x="1">a_b</text></svg>'
    labels = {"a_b": "<script>alert(1)</script>"}
    found = drawing("f", svg, labels, "file.csv")
    assert found.title == "A <b>"
    assert found.values.texts == [["<i>x", "1"]]
    assert 'aria-label="A &lt;b&gt;"' in found.svg
    assert html.escape(labels["a_b"]) in found.svg
    assert "<script>" not in found.svg


def test_rules_put_nothing_into_a_shell_but_quoted_jobs_and_logs():
    words = set()
    for path in [ROOT / "Snakefile", *(ROOT / "workflow/rules").glob("*.smk")]:
        text = path.read_text(encoding="utf-8")
        for shell in re.findall(r"shell:\s*(.*)", text):
            words |= {re.sub(r"\"[\w.{}]+\.[a-z_]+\"", '""', shell)}
        assert not re.search(r"^\s*run:|shell\(", text, re.MULTILINE), path
    assert words == {'call("")', 'call("", "NUMBA_CACHE_DIR={input.kernel:q}")'}
