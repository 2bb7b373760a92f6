"""The tables of the outcome: the same whatever the order of files, rows and students."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from scripts.deep_gpcm.jobs import TABLES
from scripts.deep_gpcm.models.irt.partial_credit import Parameters
from scripts.deep_gpcm.specs import TablesJob
from scripts.deep_gpcm.tables import reading, tables
from scripts.lib.table_files import write_table
from tests.gpcm_answers import parameters
from tests.gpcm_units import answer_rows, history, run_rows, unit_tables
from tests.stages import run_stage

JOB = TablesJob(
    reference="reference",
    result="fused",
    classical="gpcm",
    ceiling="bayes",
    shares="item_marginal",
    knowing=["bayes", "oracle"],
    data=["Y", "X"],
)


def study(folder: Path, truth: Parameters | None, status: str = "ok", seed: int = 0) -> dict:
    """Files of a small study on X, in rows of the order that `seed` says; flags of the stage."""
    rng, arms = np.random.default_rng(7), ["reference", "fused", "gpcm", "bayes", "item_marginal"]
    units = [("X", arm, fold) for arm in arms for fold in (0, 1)]
    shuffle, base = np.random.default_rng(seed), parameters(20, np.full(8, 4), seed=3)
    flags = {name: [] for name in ("predictions", "estimates", "histories")}

    def save(kind: str, key: tuple, table: pd.DataFrame) -> None:
        path = folder / kind / key[1] / f"X-{key[2]}.parquet"
        table = table.iloc[shuffle.permutation(len(table))] if seed else table
        write_table(path, {name: table[name].to_numpy() for name in table})
        flags[kind].append(path)

    for key in units:
        ids = np.arange(10) + 10 * key[2]
        noisy = replace(base, student=ids, theta=base.theta[ids] + 0.2 * rng.standard_normal(10))
        rows, items = unit_tables(key, noisy, length=4)
        p = rng.dirichlet(np.ones(4), len(rows)).astype(np.float32)
        rows = rows.assign(question_id=rng.integers(1, 9, len(rows)),
                           response=rng.integers(0, 4, len(rows)),
                           **{f"p_{k}": column for k, column in enumerate(p.T)})  # fmt: skip
        save("predictions", key, rows)
        save("estimates", key, items)
        if key[1] in ("reference", "fused"):
            save("histories", key, history(key[1], key[2], rng.random(3).tolist()))
    write_table(folder / "runs.parquet", run_rows(units, status=status).to_dict("list"))
    known = base if truth is None else truth
    theta, alpha = (np.full_like(v, np.nan) if truth is None else v
                    for v in (known.theta, known.alpha))  # fmt: skip
    beta = {f"beta_{h}": column for h, column in enumerate(known.beta.T, start=1)}
    data = folder / "data/X"
    write_table(data / "students.parquet", {"student_id": known.student, "theta": theta})
    items = {"question_id": range(1, 9), "alpha": alpha} | beta
    write_table(data / "items.parquet", items, reading={"responses": "from 1", "order": "by time"})
    both = {"students": [data / "students.parquet"], "item_tables": [data / "items.parquet"]}
    return {"runs": folder / "runs.parquet", **flags, **both}


def written(monkeypatch, flags: dict, out: Path) -> dict[str, bytes]:
    """What tables.py writes."""
    job = JOB.model_copy(update={"data": ["X"]})
    made = {"written": [out / f"{name}.csv" for name in TABLES]}
    assert run_stage(monkeypatch, "deep_gpcm/tables.py", job, flags, made) is None
    return {name: (out / f"{name}.csv").read_bytes() for name in TABLES}


def test_tables_do_not_depend_on_the_order_of_files_and_rows(monkeypatch, tmp_path):
    base = parameters(20, np.full(8, 4), seed=3)
    first = written(monkeypatch, study(tmp_path / "a", base), tmp_path / "out_a")
    flags = study(tmp_path / "b", base, seed=1)
    lists = {name: paths[::-1] for name, paths in flags.items() if name != "runs"}
    turned = flags | lists
    assert written(monkeypatch, turned, tmp_path / "out_b") == first
    assert all(text.count(b"\n") > 1 for text in first.values())
    arms = {name: set(pd.read_csv(tmp_path / f"out_a/{name}.csv")["arm"])
            for name in TABLES if name != "reading"}  # fmt: skip
    both = {"fused", "gpcm"}
    assert arms["calibration"] == both | {"item_marginal", "reference"}
    assert arms["confusion"] == arms["points"] == arms["categories"] == both
    assert arms["convergence"] == both | {"bayes"}
    assert arms["learning"] == {"fused", "reference"}


def test_tables_do_not_depend_on_the_order_in_which_students_are_listed(monkeypatch, tmp_path):
    base, order = parameters(20, np.full(8, 4), seed=3), np.random.default_rng(2).permutation(20)
    moved = replace(base, student=base.student[order], theta=base.theta[order])
    first = written(monkeypatch, study(tmp_path / "a", base), tmp_path / "out_a")
    assert written(monkeypatch, study(tmp_path / "b", moved), tmp_path / "out_b") == first
    wrong = written(monkeypatch, study(tmp_path / "c", replace(moved, student=base.student)),
                    tmp_path / "out_c")  # fmt: skip
    differing = {name for name in TABLES if wrong[name] != first[name]}
    assert {"recovery", "points", "convergence"} <= differing
    assert not differing & {"scores", "calibration", "confusion", "learning"}


def test_without_truth_tables_about_it_are_headers(monkeypatch, tmp_path):
    found = written(monkeypatch, study(tmp_path / "a", None), tmp_path / "out")
    lines = {name: text.decode().splitlines() for name, text in found.items()}
    bare = {name for name, text in lines.items() if len(text) == 1}
    assert bare == {"recovery", "points", "convergence", "categories"}
    assert pd.read_csv(tmp_path / "out/recovery.csv").columns[0] == "data"


def test_without_a_finished_unit_all_tables_are_headers(monkeypatch, tmp_path):
    base = parameters(20, np.full(8, 4), seed=3)
    found = written(monkeypatch, study(tmp_path / "a", base, status="failed"), tmp_path / "out")
    lines = {name: text.count(b"\n") for name, text in found.items()}
    # How the data were read is known whatever comes of the training.
    assert lines == dict.fromkeys(TABLES, 1) | {"reading": 3}
    assert found["scores"].startswith(b"data,arm,role,folds,nll,nll_sd,qwk")


def test_every_table_is_there_whatever_the_study_has():
    unit = ("X", "gpcm", 0)
    items = pd.DataFrame({"data": "X", "arm": "gpcm", "fold": [0], "question_id": 1, "alpha": 1.0})
    answers, runs = answer_rows(unit, [0], [[0.6, 0.4]]), run_rows([unit])
    truth, read = {"X": None, "Y": None}, {"X": {"order": "by time"}}
    made = tables(JOB, runs, answers, items, history("fused", 0, [1.0]), truth, read)
    assert tuple(made) == TABLES
    assert len(made["scores"]) == 1
    assert len(made["learning"]) == 0
    assert made["reading"].to_dict("records") == [{"data": "X", "what": "order", "how": "by time"}]


def test_the_nodes_of_each_classical_model_are_told_by_data_set():
    runs = pd.DataFrame({"data": list("XXXY"), "arm": ["gpcm"] * 2 + ["fused", "gpcm"],
                         "nodes": [161, 81, None, 81]})  # fmt: skip
    found = reading(runs, {}, ["X", "Y"])
    assert found.to_numpy().tolist() == [
        ["X", "quadrature nodes of gpcm", "81, 161"],
        ["Y", "quadrature nodes of gpcm", "81"],
    ]
