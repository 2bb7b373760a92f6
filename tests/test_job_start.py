"""What a job pays before and after its work: it loads no more than it needs, and ends at once."""

import gc
import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from scripts.lib.code import ROOT
from scripts.lib.job import JOB, Job
from scripts.lib.stage import stage
from scripts.lib.table_files import read_table, write_table

# Of packages that take a fifth of a second or more, those that these scripts can do without.
SPARED = {
    "spine.load": {"torch", "pandas", "pyarrow.dataset", "numba", "scipy"},
    "spine.train": {"torch", "pandas", "pyarrow.dataset", "numba", "scipy"},
    "deep_gpcm.folds": {"torch", "pandas", "pyarrow.dataset", "numba", "scipy"},
    "deep_gpcm.baseline": {"torch", "pandas", "pyarrow.dataset", "numba"},
    "deep_gpcm.train": {"pandas", "pyarrow.dataset", "numba", "scipy.stats", "torch._dynamo"},
    "tep_bp.train": {"pandas", "pyarrow.dataset", "numba", "scipy.stats", "torch._dynamo"},
    "lora_ablation.features": {"torch", "pandas", "pyarrow.dataset", "datasets"},
    "lora_ablation.train": {"pandas", "pyarrow.dataset", "datasets", "torch._dynamo"},
    "lora_ablation.prepare": {"pandas", "pyarrow.dataset", "datasets", "torch._dynamo"},
}


def python(text: str, *words: str) -> subprocess.CompletedProcess:
    """A process of Python that runs a text in this folder."""
    command = [sys.executable, *(words or ("-c", text))]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("script", SPARED)
def test_a_stage_script_does_not_import_what_its_jobs_can_do_without(script):
    done = python(f"import scripts.{script}, sys; print(*sys.modules)")
    assert done.returncode == 0, done.stderr
    loaded = set(done.stdout.split())
    assert "scripts.lib.stage" in loaded
    assert not SPARED[script] & loaded


def test_reading_a_table_of_ours_imports_no_data_sets(tmp_path):
    path = tmp_path / "t.parquet"
    write_table(path, {"a": [1, 2], "b": [[1.0], [2.0, 3.0]], "c": ["x", "y"]})
    done = python(
        "from scripts.lib.table_files import read_table; import sys; "
        f"print(read_table({str(path)!r}).num_rows, "
        "sorted({'pandas', 'pyarrow.dataset'} & set(sys.modules)))"
    )
    assert done.stdout.strip() == "2 []", done.stderr


def test_a_table_is_read_as_pandas_reads_it_and_columns_come_as_they_are_asked_for(tmp_path):
    path = tmp_path / "t.parquet"
    write_table(path, {"a": np.arange(5), "b": [None, 1.5, float("nan"), 2.0, 3.0], "c": [[1]] * 5})
    pd.testing.assert_frame_equal(read_table(path).to_pandas(), pd.read_parquet(path))
    assert read_table(path, ["b", "a"]).column_names == ["b", "a"]


def test_garbage_is_searched_again_once_the_work_begins(monkeypatch):
    job = {"spec": {}, "threads": 1, "input": {}, "output": {}}
    monkeypatch.setattr(sys, "argv", ["script", json.dumps(job)])
    for name, value in vars(Job()).items():
        monkeypatch.setattr(JOB, name, value)
    seen = []
    gc.disable()
    try:
        stage(lambda: seen.append(gc.isenabled()))
    finally:
        gc.enable()
        gc.unfreeze()
    assert seen == [True]


def test_only_a_process_that_runs_a_script_of_ours_imports_without_garbage_search():
    told = "import gc, scripts; print(scripts.AS_SCRIPT, gc.isenabled())"
    assert python(told).stdout.split() == ["False", "True"]
