"""Stamps: one digest per file that a script executes, blind to comments and layout."""

import pytest

from scripts.lib import code


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
    caches = (code._tree, code._imports, code.file_digest, code.closure)
    for cache in caches:
        cache.cache_clear()
    yield tmp_path
    for cache in caches:
        cache.cache_clear()


def stamps_after(tree, name: str, text: str) -> list[str]:
    (tree / name).write_text(text)
    for cache in (code._tree, code._imports, code.file_digest, code.closure):
        cache.cache_clear()
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
