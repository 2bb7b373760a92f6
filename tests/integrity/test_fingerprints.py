"""A user's data are edited: whoever read them reads them again, whatever the time stamps say."""

import os
from pathlib import Path

import pytest

from scripts.lib import foreign
from scripts.lib.faults import LoadError
from tests.lora_files import fingerprints, save_folder, save_matrix, small


@pytest.fixture
def files(tmp_path) -> list[Path]:
    paths = [tmp_path / name for name in "ab"]
    for path in paths:
        path.write_text("one")
        os.utime(path, ns=(1, 1))
    return paths


def test_an_edit_that_keeps_size_and_time_is_seen_and_a_touch_is_none(files):
    before = foreign.marks(files)
    os.utime(files[0], ns=(2, 2))
    assert foreign.marks(files) == before
    files[0].write_text("two")
    os.utime(files[0], ns=(1, 1))
    assert foreign.marks(files) != before


def test_of_many_bytes_sizes_and_times_count(files, monkeypatch):
    monkeypatch.setattr(foreign, "SMALL", 5)
    before = foreign.marks(files)
    os.utime(files[0], ns=(2, 2))
    assert foreign.marks(files) != before


def test_a_missing_file_is_a_sentence(files):
    files[1].unlink()
    with pytest.raises(LoadError, match="b: cannot be read"):
        foreign.marks(files)


def test_of_adapters_those_of_the_range_and_what_is_configured_beside_them_count(tmp_path):
    source, ranges = save_folder(small(), tmp_path), [(0, 3), (3, 6)]
    first, second = fingerprints(source, ranges)
    last = sorted(tmp_path.rglob("*.safetensors"))[-1]
    last.write_bytes(last.read_bytes()[:-1] + b"x")
    assert fingerprints(source, ranges)[0] == first
    assert fingerprints(source, ranges)[1] != second
    (last.parent / "adapter_config.json").write_text("{}")
    configured = fingerprints(source, ranges)
    assert configured[1] != second
    (last.parent / "adapter_config.json").write_text('{"lora_alpha": 2}')
    assert fingerprints(source, ranges)[1] not in (second, configured[1])


@pytest.mark.parametrize("key", ["path", "dimensions", "labels"])
def test_each_file_of_a_matrix_counts(tmp_path, key):
    source = save_matrix(small(), tmp_path)
    before = fingerprints(source, [(0, 6)])
    Path(source[key]).write_bytes(Path(source[key]).read_bytes() + b" ")
    assert fingerprints(source, [(0, 6)]) != before
