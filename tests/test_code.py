"""Stamps: one digest per file that a script executes, blind to comments and layout."""

import pytest

from scripts.lib import code, parsed
from scripts.lib.parsed import facts


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """A small package in place of the repository; caches emptied before and after."""
    files = {
        "scripts/__init__.py": "",
        "scripts/a/__init__.py": "",
        "scripts/a/train.py": "from scripts.a import model\nfrom scripts.lib.deep import far\n",
        "scripts/a/model.py": "def f():\n    import scripts.lib.lazy\n",
        "scripts/a/unused.py": "x = 1\n",
        "scripts/lib/__init__.py": "",
        "scripts/lib/deep/__init__.py": "from . import far\n",
        "scripts/lib/deep/far.py": "import numpy as np\nfrom ..near import y\n",
        "scripts/lib/near.py": "y = 1\n",
        "scripts/lib/lazy.py": "z = 1\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(code, "ROOT", tmp_path)
    forget()
    yield tmp_path
    forget()


def forget() -> None:
    for function in vars(code).values():
        if hasattr(function, "cache_clear"):
            function.cache_clear()


def stamps_after(tree, name: str, text: str) -> list[str]:
    (tree / name).write_text(text)
    forget()
    return code.stamps("scripts/a/train.py")


def test_the_closure_follows_packages_relative_and_lazy_imports(tree):
    found = {stamp.split("@")[0] for stamp in code.stamps("scripts/a/train.py")}
    assert found == {
        "scripts/__init__.py",
        "scripts/a/__init__.py",
        "scripts/a/train.py",
        "scripts/a/model.py",
        "scripts/lib/__init__.py",
        "scripts/lib/deep/__init__.py",
        "scripts/lib/deep/far.py",
        "scripts/lib/near.py",
        "scripts/lib/lazy.py",
    }


@pytest.mark.parametrize("text", ["y = 1  # why\n", '"""Doc."""\n\ny = (\n    1\n)\n'])
def test_comments_docstrings_and_layout_do_not_count(tree, text):
    before = code.stamps("scripts/a/train.py")
    assert stamps_after(tree, "scripts/lib/near.py", text) == before


def test_an_edit_of_a_distant_import_changes_its_stamp_alone(tree):
    before = code.stamps("scripts/a/train.py")
    after = stamps_after(tree, "scripts/lib/near.py", "y = 2\n")
    changed = set(after) - set(before)
    assert [stamp.split("@")[0] for stamp in changed] == ["scripts/lib/near.py"]


def test_an_unused_module_does_not_count(tree):
    before = code.stamps("scripts/a/train.py")
    assert stamps_after(tree, "scripts/a/unused.py", "x = 2\n") == before


def test_a_new_import_is_found(tree):
    text = "from scripts.a import model, unused\n"
    found = stamps_after(tree, "scripts/a/train.py", text)
    assert any(stamp.startswith("scripts/a/unused.py@") for stamp in found)


BY_NAME = [
    'import_module(f"scripts.a.arms.{arm}")',
    'import_module("scripts.a.arms." + arm)',
    'import_module("scripts.a.arms.%s" % arm)',
    'import_module("scripts.a.arms.{}".format(arm))',
    '__import__(f"scripts.a.arms.{arm}", fromlist=["run"])',
    "import_module(ARMS[arm])",
    "spec_from_file_location(arm, PATH)",
]


@pytest.mark.parametrize("call", BY_NAME)
def test_a_module_imported_by_a_name_made_at_run_time_counts_unless_the_rule_names_another(
    tree, call
):
    for name in ("", "loop", "vector"):
        path = tree / f"scripts/a/arms/{name or '__init__'}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text("from scripts.lib import near\n" if name == "vector" else "")
    (tree / "scripts/lib/near.py").write_text("y = 1\n")
    (tree / "scripts/a/model.py").write_text(f"def f(arm):\n    return {call}\n")

    def files(*scripts: str) -> set[str]:
        forget()
        return {stamp.split("@")[0] for stamp in code.stamps(*scripts)}

    everything = files("scripts/a/train.py")
    assert {"scripts/a/arms/loop.py", "scripts/a/arms/vector.py"} <= everything
    one = files("scripts/a/train.py", "scripts/a/arms/loop.py")
    assert "scripts/a/arms/loop.py" in one
    assert "scripts/a/arms/vector.py" not in one
    # Who runs the study's script, as the measurement does, runs any of its arms.
    assert "scripts/a/arms/vector.py" in files("scripts/lib/near.py", "scripts/a/train.py")


def test_what_the_library_imports_by_name_is_for_the_rule_to_stamp(tree):
    (tree / "scripts/lib/near.py").write_text("def g(m):\n    return import_module(m).run\n")
    forget()
    assert not any("unused" in stamp for stamp in code.stamps("scripts/lib/near.py"))


@pytest.mark.parametrize("damage", [None, b"", b"{}", b"{"])
def test_facts_are_kept_by_content_and_a_damaged_store_is_no_store(tree, damage, monkeypatch):
    before = code.stamps("scripts/a/train.py")
    code.parsed().keep()
    (store,) = (tree / ".snakemake").iterdir()
    if damage is not None:
        store.write_bytes(damage)
    forget()
    calls = []
    monkeypatch.setattr(parsed, "facts", lambda *told: calls.append(told) or facts(*told))
    assert code.stamps("scripts/a/train.py") == before
    assert bool(calls) == (damage is not None)
    (tree / "scripts/lib/near.py").write_text("y = 2\n")
    assert stamps_after(tree, "scripts/lib/near.py", "y = 2\n") != before


def test_a_file_is_parsed_once_however_many_arms_ask_for_it(tree, monkeypatch):
    calls = []
    monkeypatch.setattr(parsed, "facts", lambda *told: calls.append(told) or facts(*told))
    for arm in ("loop", "vector", "other"):
        code.stamps("scripts/a/train.py", only=[arm])
    assert calls
    assert len(calls) == len(set(calls))


ARMS = """from scripts.lib.implementations import implementation
from scripts.a import fast, slow

LEVEL = 1


@implementation
def loop(x):
    return slow.f(x)


@implementation
def vector(x):
    return fast.f(x)


@implementation
def twice(x):
    return vector(x) + vector(x)
"""


@pytest.fixture
def arms(tree):
    """A module of implementations, each with a module of its own."""
    (tree / "scripts/lib/implementations.py").write_text("implementation = None\n")
    (tree / "scripts/a/arms.py").write_text(ARMS)
    for name in ("fast", "slow"):
        (tree / f"scripts/a/{name}.py").write_text("def f(x):\n    return x\n")
    return tree


def stamps_of(*only: str) -> list[str]:
    forget()
    return code.stamps("scripts/a/arms.py", only=only)


def test_of_a_module_with_implementations_only_those_count_that_a_job_may_call(arms):
    assert "slow.py" in str(stamps_of("loop"))
    assert "fast.py" not in str(stamps_of("loop"))
    before = stamps_of("loop"), stamps_of("vector")
    (arms / "scripts/a/arms.py").write_text(ARMS.replace("fast.f(x)", "fast.f(x + 1)"))
    assert stamps_of("loop") == before[0]
    assert stamps_of("vector") != before[1]


def test_what_all_implementations_share_counts_for_each(arms):
    before = [stamps_of(name) for name in ("loop", "vector", "twice")]
    (arms / "scripts/a/arms.py").write_text(ARMS.replace("LEVEL = 1", "LEVEL = 2"))
    after = [stamps_of(name) for name in ("loop", "vector", "twice")]
    assert all(old != new for old, new in zip(before, after, strict=True))


def test_a_function_that_only_other_implementations_call_does_not_count(arms):
    text = (
        ARMS.replace("return fast.f(x)", "return halved(x)")
        + """

def halved(x):
    return fast.f(x) / 2
"""
    )
    (arms / "scripts/a/arms.py").write_text(text)
    before = stamps_of("loop"), stamps_of("vector")
    assert "fast.py" not in str(before[0])
    assert "fast.py" in str(before[1])
    (arms / "scripts/a/arms.py").write_text(text.replace("/ 2", "/ 3"))
    assert stamps_of("loop") == before[0]
    assert stamps_of("vector") != before[1]


def test_an_implementation_that_another_calls_counts_for_it(arms):
    before = stamps_of("twice")
    assert "fast.py" in str(before)
    (arms / "scripts/a/arms.py").write_text(ARMS.replace("fast.f(x)", "fast.f(x + 1)"))
    assert stamps_of("twice") != before


@pytest.mark.parametrize(
    ("imported", "call"),
    [
        ("from scripts.a.arms import vector", "vector(1)"),
        ("from scripts.a.arms import vector as v", "v(1)"),
        ("from scripts.a import arms", "arms.vector(1)"),
        ("from . import arms as a", "a.vector(1)"),
    ],
)
def test_an_implementation_that_another_module_calls_by_its_name_counts(arms, imported, call):
    (arms / "scripts/a/slow.py").write_text(f"def f(x):\n    {imported}\n    return {call}\n")
    before = stamps_of("loop")
    (arms / "scripts/a/arms.py").write_text(ARMS.replace("fast.f(x)", "fast.f(x + 1)"))
    assert stamps_of("loop") != before
