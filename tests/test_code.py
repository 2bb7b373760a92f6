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
    for cache in (code.parsed, code._imports, code._by_name, code.closure):
        cache.cache_clear()


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
    monkeypatch.setattr(parsed, "facts", lambda content: calls.append(content) or facts(content))
    assert code.stamps("scripts/a/train.py") == before
    assert bool(calls) == (damage is not None)
    (tree / "scripts/lib/near.py").write_text("y = 2\n")
    assert stamps_after(tree, "scripts/lib/near.py", "y = 2\n") != before
