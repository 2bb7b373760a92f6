"""Files of answers read exactly, or are refused in one sentence that says where and why."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from scripts.deep_gpcm.data.responses import (
    Responses,
    assemble,
    check,
    item_table,
    student_table,
)
from scripts.lib.code import ROOT
from scripts.lib.faults import LoadError
from tests.gpcm_files import (
    TINY,
    A,
    fingerprint,
    load,
    outputs,
    read,
    read_responses,
    same_answers,
    save_csv,
    save_three_lines,
    save_truth,
)


def answers(found: Responses) -> list[tuple]:
    columns = (found.student, found.t, found.question, found.response)
    return list(zip(*(column.tolist() for column in columns), strict=True))


def test_answers_survive_a_round_trip_with_their_types(monkeypatch, tmp_path):
    assert load(monkeypatch, TINY, tmp_path) is None
    files, expected = outputs(tmp_path), read(TINY, 42)
    found = read_responses(**files)
    assert same_answers(found, expected)
    pd.testing.assert_frame_equal(found.students, expected.students)
    pd.testing.assert_frame_equal(found.items, expected.items, check_dtype=False)
    types = {
        "interactions": ["int32", "int16", "int32", "int8"],
        "students": ["int32", "string", "double"],
        "item_table": ["int32", "string", "int8", "double", "double", "double", "double"],
    }
    for name, expected_types in types.items():
        schema = pq.read_schema(files[name])
        assert [str(kind) for kind in schema.types] == expected_types
        assert b"isospeed" in schema.metadata
    assert pq.read_schema(files["interactions"]).names == [
        *("student_id", "t", "question_id", "response")
    ]


def test_what_is_unknown_is_nan_and_not_null(monkeypatch, tmp_path):
    source = save_three_lines(read(TINY, 42), tmp_path)
    load(monkeypatch, source, tmp_path / "out")
    for name, column in [("students", "theta"), ("item_table", "alpha"), ("item_table", "beta_3")]:
        values = pq.read_table(outputs(tmp_path / "out")[name])[column]
        assert values.null_count == 0
        assert np.isnan(values.to_numpy()).all()


@pytest.mark.parametrize("style", ["OC", "PC"])
@pytest.mark.parametrize("base", [0, 1])
@pytest.mark.parametrize("categories", [2, 3, 4, 8])
def test_both_formats_and_both_bases_give_the_answers_that_were_saved(
    style, base, categories, tmp_path
):
    expected = read(TINY | {"categories": categories, "students": 40}, 42)
    source = save_three_lines(expected, tmp_path, style, base, ("train.txt", "test.txt"))
    found = read(source, 0)
    assert same_answers(found, expected)
    assert found.items["name"].tolist() == [str(i + base) for i in range(5)]
    assert (found.items["categories"] == categories).all()


def test_question_0_of_a_0_based_file_is_a_question_like_the_others(tmp_path):
    (tmp_path / "a.txt").write_text("3\n0,1,0\n1,0,1\n")
    source = {"kind": "three_lines", "files": [str(tmp_path / "a.txt")], "format": "OC"}
    found = read(source | {"questions": 2, "categories": 2, "id_base": 0}, 0)
    assert answers(found) == [(0, 0, 1, 1), (0, 1, 2, 0), (0, 2, 1, 1)]


def test_partial_credit_is_not_truncated(tmp_path):
    # The original's reader takes int(float("0.667")) = 0.
    (tmp_path / "a.txt").write_text("4\n1,1,1,1\n0.000,0.333,0.667,1.000\n")
    source = {"kind": "three_lines", "files": [str(tmp_path / "a.txt")], "format": "PC"}
    found = read(source | {"questions": 1, "categories": 4, "id_base": 1}, 0)
    assert found.response.tolist() == [0, 1, 2, 3]


def test_commas_at_line_ends_blank_last_lines_and_windows_line_ends_are_read(tmp_path):
    text = "2\n1,2,\n0,1,\n1\n2\n3\n\n"
    found = []
    for name, written in [("a.txt", text), ("b.txt", "\ufeff" + text.replace("\n", "\r\n"))]:
        (tmp_path / name).write_bytes(written.encode())
        source = {"kind": "three_lines", "files": [str(tmp_path / name)], "format": "OC"}
        found.append(answers(read(source | {"questions": 2, "categories": 4, "id_base": 1}, 0)))
    assert found[0] == found[1] == [(0, 0, 1, 0), (0, 1, 2, 1), (1, 0, 2, 3)]


def test_true_parameters_belong_to_students_in_the_order_of_all_files(tmp_path):
    expected = read(TINY, 42)
    source = save_three_lines(expected, tmp_path, files=("train.txt", "test.txt"))
    source["truth"] = save_truth(expected, tmp_path / "true_irt_parameters.json")
    found = read(source, 0)
    pd.testing.assert_frame_equal(found.students, expected.students)
    pd.testing.assert_frame_equal(found.items, expected.items)


def test_a_long_table_is_sorted_by_student_and_time_and_keeps_its_names(tmp_path):
    rows = [
        *[("bo", 7.5, "q10", 1), ("al", 3, "q2", 0), ("bo", -1, "q2", 2)],
        *[("al", 20, "q10", 0), ("bo", 100, "q10", 0)],
    ]
    found = read(save_csv(tmp_path / "a.csv", rows), 0)
    assert answers(found) == [
        *[(0, 0, 2, 0), (0, 1, 1, 0)],
        *[(1, 0, 2, 2), (1, 1, 1, 1), (1, 2, 1, 0)],
    ]
    assert found.students["name"].tolist() == ["al", "bo"]
    assert found.items["name"].tolist() == ["q10", "q2"]
    assert found.items["categories"].tolist() == [2, 3]
    assert list(found.items.columns[3:]) == ["alpha", "beta_1", "beta_2"]


def test_names_that_are_numbers_are_sorted_as_numbers_and_kept_as_written(tmp_path):
    rows = [("10", 1, "007", 0), ("9", 1, "12", 1), ("9", 2, "7", 0)]
    found = read(save_csv(tmp_path / "a.csv", rows), 0)
    assert found.students["name"].tolist() == ["9", "10"]
    assert found.items["name"].tolist() == ["007", "7", "12"]
    assert found.question.tolist() == [3, 2, 1]


def test_an_item_that_nobody_solved_still_has_two_categories(tmp_path):
    found = read(save_csv(tmp_path / "a.csv", [(1, 1, 1, 0), (1, 2, 2, 3)]), 0)
    assert found.items["categories"].tolist() == [2, 4]


def test_given_categories_hold_for_all_items(tmp_path):
    source = save_csv(tmp_path / "a.csv", [(1, 1, 1, 0), (1, 2, 2, 3)]) | {"categories": 5}
    assert read(source, 0).items["categories"].tolist() == [5, 5]


def test_csv_and_parquet_of_the_same_table_are_the_same_with_columns_of_any_name(tmp_path):
    expected = read(A | {"students": 50}, 42)
    table = pd.DataFrame(
        {"who": expected.student, "when": expected.t, "what": expected.question, "how": 0}
    )
    table["how"] = expected.response
    table = table.sample(frac=1, random_state=1)
    table.to_csv(tmp_path / "a.csv", index=False)
    table.astype({"who": "category", "how": float}).to_parquet(tmp_path / "a.parquet")
    named = {"student": "who", "time": "when", "item": "what", "response": "how"}
    for name in ("a.csv", "a.parquet"):
        source = {"kind": "table", "path": str(tmp_path / name), **named}
        assert same_answers(read(source, 0), expected)


@pytest.mark.parametrize(
    "times",
    [
        ["2024-03-01", "2024-03-02", "2024-11-01"],
        ["2024-03-01 10:00:00", "2024-03-01 10:00:01", "2024-03-01 10:00:01.5"],
        ["2024-03-01T10:00:00Z", "2024-03-01T10:30:00+00:00", "2024-03-01T12:00:00+01:00"],
        [1_700_000_000_000_000_000, 1_700_000_000_000_000_001, 1_700_000_000_000_000_002],
        [9, 10, 1e2],
    ],
)
def test_times_are_numbers_or_iso_dates(times, tmp_path):
    rows = [(1, times[i], i + 1, 0) for i in (2, 0, 1)]
    assert read(save_csv(tmp_path / "a.csv", rows), 0).question.tolist() == [1, 2, 3]


def test_windows_cut_a_log_into_sequences_of_the_same_student(tmp_path):
    whole, source = read(TINY, 42), save_three_lines(read(TINY, 42), tmp_path)
    for found in (read(TINY | {"window": 3}, 42), read(source | {"window": 3}, 0)):
        assert found.t.max() == 2
        assert np.array_equal(found.t, whole.t % 3)
        for name in ("student", "question", "response"):
            assert np.array_equal(getattr(found, name), getattr(whole, name))
    assert same_answers(read(TINY | {"window": 100}, 42), whole)


def test_a_log_too_long_for_a_sequence_asks_for_a_window(tmp_path):
    n = 40_000
    (tmp_path / "a.txt").write_text(f"{n}\n{','.join('1' * n)}\n{','.join('0' * n)}\n")
    source = {"kind": "three_lines", "files": [str(tmp_path / "a.txt")], "format": "OC"}
    source |= {"questions": 1, "categories": 2, "id_base": 1}
    with pytest.raises(LoadError, match="has 40000 answers and a sequence at most 32768"):
        read(source, 0)
    found = read(source | {"window": 32_768}, 0)
    assert found.t.max() == 32_767
    assert found.t[-1] == n - 32_768 - 1


@pytest.mark.parametrize("window", [0, -1, 32_769])
def test_a_window_of_no_use_is_refused(window):
    with pytest.raises(LoadError, match=f"window is {window}; use 1 to 32768"):
        read(TINY | {"window": window}, 42)


def small(**changes) -> dict:
    columns = {"student": [0, 0, 1], "question": [1, 2, 2], "response": [0, 2, 1]}
    tables = {"students": student_table("ab"), "items": item_table("xy", np.array([2, 3]))}
    return {name: np.array(values) for name, values in columns.items()} | tables | changes


WRONG = {
    "a student without answers": ({"student": np.array([0, 0, 2])}, "out of order"),
    "students in another order": ({"student": np.array([0, 1, 0])}, "out of order"),
    "more students than answer": ({"students": student_table("abc")}, "There are 3 students"),
    "question 0": ({"question": np.array([1, 0, 2])}, "question 0; expected 1 to 2"),
    "a question too many": ({"question": np.array([1, 3, 2])}, "question 3; expected 1 to 2"),
    "a negative answer": ({"response": np.array([0, -1, 0])}, "is -1; expected 0 to 2"),
    "more than the item allows": ({"response": np.array([2, 0, 0])}, "item x, is 2; expected 0"),
    "an answer that wraps round": ({"response": np.array([256, 0, 0])}, "is 256"),
    "one category": ({"items": item_table("xy", np.array([1, 3]))}, "Item x has 1 categories"),
    "too many categories": ({"items": item_table("xy", np.array([2, 128]))}, "has 128 categories"),
    "columns of two lengths": ({"response": np.array([0, 2])}, "differ in length"),
    "nothing": ({name: np.array([], int) for name in small() if name[-1] != "s"}, "no answers"),
}


@pytest.mark.parametrize("fault", WRONG)
def test_answers_that_contradict_each_other_are_refused(fault):
    changes, said = WRONG[fault]
    assemble(**small())
    with pytest.raises(LoadError, match=said):
        assemble(**small(**changes))


def test_a_gap_in_time_or_a_shifted_start_is_refused():
    found = assemble(**small())
    check(found)
    for t in ([0, 2, 0], [1, 2, 0], [0, 1, 1]):
        changed = Responses(**(vars(found) | {"t": np.array(t, np.int16)}))
        with pytest.raises(LoadError, match="out of order"):
            check(changed)


def test_a_fingerprint_follows_the_files_of_a_source(tmp_path):
    assert fingerprint(TINY) == fingerprint({"kind": "irtorch", "table": "mathematics_1"}) == ""
    lines = save_three_lines(read(TINY, 42), tmp_path, files=("a.txt", "b.txt"))
    truth = save_truth(read(TINY, 42), tmp_path / "truth.json")
    table = save_csv(tmp_path / "a.csv", [(1, 1, 1, 1)])
    for source, path in [
        (lines, lines["files"][1]),
        (lines | {"truth": truth}, truth),
        (table, table["path"]),
    ]:
        before = fingerprint(source)
        assert before == fingerprint(source) != ""
        os.utime(path, (1, 1))
        assert fingerprint(source) == before
        content = bytearray(Path(path).read_bytes())
        content[-2] ^= 1
        Path(path).write_bytes(content)
        os.utime(path, (1, 1))
        assert fingerprint(source) != before
    Path(truth).unlink()
    with pytest.raises(LoadError, match=r"truth\.json: cannot be read"):
        fingerprint(lines | {"truth": truth})


def test_the_jobs_of_the_study_import_no_heavy_library():
    code = (
        "import sys; from scripts.deep_gpcm import jobs;"
        "assert not {'torch', 'sklearn', 'pandas', 'pyarrow', 'numba'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=120)


def test_a_column_of_dates_in_parquet_is_a_time(tmp_path):
    times = pa.array([3, 1, 2], pa.timestamp("ms"))
    table = {"student": [1, 1, 1], "time": times, "item": [1, 2, 3], "response": [0, 0, 0]}
    pq.write_table(pa.table(table), tmp_path / "a.parquet")
    found = read({"kind": "table", "path": str(tmp_path / "a.parquet")}, 0)
    assert found.question.tolist() == [2, 3, 1]
