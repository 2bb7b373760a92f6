"""A faulty file of answers is refused in one sentence that says where and why; no file is left."""

import json
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from scripts.lib.code import ROOT
from tests.gpcm_files import TINY, outputs, read, refusal, save_csv, save_three_lines, save_truth
from tests.stages import job_of

LINES = "2\n1,2\n0,3\n3\n1,2,3\n0,1,2\n"
# The file's text, changes of the data source, and what the sentence says.
BROKEN = {
    "five lines": ("2\n1,2\n0,3\n3\n1,2,3\n", {}, ["has 5 lines", "multiple of three"]),
    "an empty file": ("", {}, ["is empty"]),
    "only blank lines": ("\n\n", {}, ["is empty"]),
    "too few questions": (LINES.replace("1,2,3", "1,2"), {}, ["line 5 has 2 questions", "line 4"]),
    "too many responses": ("2\n1,2\n0,3,1\n", {}, ["line 3 has 3 responses", "line 1 states 2"]),
    "no responses": ("2\n1,2\n\n", {}, ["line 3 has 0 responses"]),
    "an empty student": (LINES + "0\n\n\n", {}, ["line 7 states 0 answers"]),
    "a negative length": ("-1\n1\n1\n", {}, ["line 1 states -1 answers"]),
    "a length that is no number": (LINES.replace("3\n1", "x\n1"), {}, ["line 4 holds 'x'"]),
    "id 0 in a 1-based file": (
        LINES.replace("1,2,3", "1,0,3"),
        {},
        ["line 5 holds question 0", "ids 1 to 3", "id_base: 0"],
    ),
    "the last id in a 0-based file": (
        LINES,
        {"id_base": 0},
        ["line 5 holds question 3", "ids 0 to 2"],
    ),
    "an id out of range": (LINES.replace("1,2,3", "1,2,4"), {}, ["line 5 holds question 4"]),
    "the first id of a student": (LINES.replace("1,2,3", "9,2,3"), {}, ["line 5 holds question 9"]),
    "an id that is no number": (LINES.replace("1,2,3", "1,,3"), {}, ["line 5 holds ''"]),
    "a response out of range": (LINES.replace("0,3", "0,4"), {}, ["line 3 holds response 4", "3"]),
    "a negative response": (LINES.replace("0,1,2", "0,1,-2"), {}, ["line 6 holds response -2"]),
    "a fraction in OC": (LINES.replace("0,1,2", "0,0.333,1"), {}, ["line 6 holds '0.333'"]),
    "a category in PC": (LINES, {"format": "PC"}, ["line 3 holds response 3", "1/3"]),
    "no multiple of 1/3": (
        LINES.replace("0,3", "0.333,0.5").replace("0,1,2", "0,1,1"),
        {"format": "PC"},
        ["line 3 holds response 0.5", "multiples of 1/3"],
    ),
    "a coarse fraction": ("1\n1\n0.66\n", {"format": "PC"}, ["line 3 holds response 0.66"]),
    "NaN in PC": ("1\n1\nnan\n", {"format": "PC"}, ["line 3 holds response nan"]),
    "infinity in PC": ("1\n1\n-inf\n", {"format": "PC"}, ["line 3 holds response -inf"]),
    "text in PC": ("1\n1\nhalf\n", {"format": "PC"}, ["line 3 holds 'half'"]),
    "a space for a comma": ("2\n1 2\n0,3\n", {}, ["line 2 has 1 questions"]),
}


def three_lines(folder, text: str | bytes, **changes) -> dict:
    good, bad = folder / "good.txt", folder / "bad.txt"
    style = changes.get("format", "OC")
    good.write_text("1\n2\n1\n" if style == "OC" else "1\n2\n1.000\n")
    bad.write_bytes(text if isinstance(text, bytes) else text.encode())
    source = {"kind": "three_lines", "files": [str(good), str(bad)], "format": "OC"}
    return source | {"questions": 3, "categories": 4, "id_base": 1} | changes


@pytest.mark.parametrize("fault", BROKEN)
def test_a_faulty_3_line_file_is_named_with_its_line(fault, monkeypatch, tmp_path):
    text, changes, said = BROKEN[fault]
    sentence = refusal(monkeypatch, three_lines(tmp_path, text, **changes), tmp_path)
    assert all(part in sentence for part in ["bad.txt: ", *said]), sentence


def test_the_3_line_files_that_were_broken_are_fine_themselves(tmp_path):
    assert len(read(three_lines(tmp_path, LINES), 0).response) == 6


def test_files_that_are_missing_or_no_text_are_refused(monkeypatch, tmp_path):
    source = three_lines(tmp_path, b"\xff\xfe\x00")
    assert "bad.txt: cannot be read" in refusal(monkeypatch, source, tmp_path)
    (tmp_path / "bad.txt").unlink()
    assert "bad.txt: cannot be read" in refusal(monkeypatch, source, tmp_path)


def without(*keys):
    def change(truth):
        for key in keys[:-1]:
            truth = truth[key]
        del truth[keys[-1]]

    return change


FALSE_TRUTHS = {
    "no abilities": (without("student_abilities"), ["no entry 'student_abilities'"]),
    "no slopes": (without("question_params", "discrimination", "alpha"), ["no entry 'alpha'"]),
    "a student too few": (
        lambda t: t["student_abilities"]["theta"].pop(),
        ["theta", "(5,)", "(6,)"],
    ),
    "a ragged table": (
        lambda t: t["question_params"]["difficulties"]["beta"][2].pop(),
        ["no true parameters"],
    ),
    "another shape": (
        lambda t: t["question_params"]["difficulties"]["beta"].pop(),
        ["beta", "(4, 3)", "(5, 3)"],
    ),
    "text": (lambda t: t["student_abilities"].update(theta="x"), ["no true parameters"]),
}


@pytest.mark.parametrize("fault", FALSE_TRUTHS)
def test_a_faulty_file_of_true_parameters_is_refused(fault, monkeypatch, tmp_path):
    change, said = FALSE_TRUTHS[fault]
    found, path = read(TINY, 42), tmp_path / "truth.json"
    source = save_three_lines(found, tmp_path) | {"truth": save_truth(found, path)}
    truth = json.loads(path.read_text())
    change(truth)
    path.write_text(json.dumps(truth))
    sentence = refusal(monkeypatch, source, tmp_path)
    assert all(part in sentence for part in ["truth.json: ", *said]), sentence


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        "null",
        '{"question_params": {"discrimination": 1}, "student_abilities": {"theta": []}}',
    ],
)
def test_a_file_of_true_parameters_that_is_none_is_refused(text, monkeypatch, tmp_path):
    source = save_three_lines(read(TINY, 42), tmp_path) | {"truth": str(tmp_path / "t.json")}
    (tmp_path / "t.json").write_text(text)
    assert "t.json: holds no true parameters" in refusal(monkeypatch, source, tmp_path)


ROWS = [("a", 1, "x", 0), ("a", 2, "y", 2), ("b", 1, "x", 1)]


def row(i: int, **changes) -> list:
    """The rows with changes in row i."""
    names = ("student", "time", "item", "response")
    changed = [tuple((dict(zip(names, ROWS[i], strict=True)) | changes).values())]
    return [*ROWS[:i], *changed, *ROWS[i + 1 :]]


TABLES = {
    "a second answer at a time": (
        row(1, time=1),
        ["line 3", "second answer of student a", "time 1"],
    ),
    "two such answers": (row(1, time=1) + row(1, time=1)[1:], ["line 3", "second answer"]),
    "one moment written twice": (row(1, time="1.0"), ["line 3", "second answer"]),
    "no student": (row(2, student=""), ["line 4 has no student", "'student'"]),
    "no time": (row(1, time=""), ["line 3 has no time"]),
    "no response": (row(2, response=""), ["line 4 has no response"]),
    "a fraction": (row(1, response="1.5"), ["line 3 has response 1.5", "whole number"]),
    "a negative response": (row(0, response=-1), ["line 2 has response -1"]),
    "a response that is no number": (row(2, response="yes"), ["line 4 has response 'yes'"]),
    "a missing response by name": (row(1, response="nan"), ["line 3 has response nan"]),
    "too high a response": (row(1, response=127), ["line 3 has response 127", "0 to 126"]),
    "a time that is no number": (row(1, time="soon"), ["line 3 has time 'soon'", "ISO dates"]),
    "numbers and dates": (row(2, time="2024-01-01"), ["line 4 has time '2024-01-01'"]),
    "an infinite time": (row(1, time="inf"), ["line 3 has time inf"]),
    "an empty line": ([ROWS[0], [], ROWS[1]], ["line 3 has no student"]),
    "a ragged line": ([*ROWS, ("b", 2)], ["cannot be read", "Expected 4 columns, got 2"]),
    "no rows": ([], ["has no rows"]),
}


@pytest.mark.parametrize("fault", TABLES)
def test_a_faulty_table_is_named_with_its_line(fault, monkeypatch, tmp_path):
    rows, said = TABLES[fault]
    sentence = refusal(monkeypatch, save_csv(tmp_path / "bad.csv", rows), tmp_path)
    assert all(part in sentence for part in ["bad.csv: ", *said]), sentence


def test_the_table_that_was_broken_is_fine_itself(tmp_path):
    assert read(save_csv(tmp_path / "a.csv", ROWS), 0).response.tolist() == [0, 2, 1]


def test_a_response_above_the_given_categories_is_refused(monkeypatch, tmp_path):
    source = save_csv(tmp_path / "bad.csv", ROWS) | {"categories": 2}
    assert "line 3 has response 2; expected a whole" in refusal(monkeypatch, source, tmp_path)


def test_a_missing_column_is_named_with_those_that_are_there(monkeypatch, tmp_path):
    source = save_csv(tmp_path / "a.csv", ROWS) | {"item": "question"}
    sentence = refusal(monkeypatch, source, tmp_path)
    assert "no column 'question' for the item" in sentence
    assert "student, time, item, response" in sentence
    (tmp_path / "a.csv").write_text("")
    assert "its columns are: none" in refusal(monkeypatch, source, tmp_path)


def test_faults_of_a_parquet_table_are_named_with_their_row(monkeypatch, tmp_path):
    path = tmp_path / "a.parquet"
    good = {"student": [1, 1, 2], "time": [1, 2, 1], "item": [1, 2, 1], "response": [0.0, 1.0, 2.0]}
    source = {"kind": "table", "path": str(path)}
    for changes, said in [
        ({"response": [0.0, 1.0, np.nan]}, "row 3 has no response"),
        ({"student": [1, None, 2]}, "row 2 has no student"),
        ({"response": [0.0, 0.5, 2.0]}, "row 2 has response 0.5"),
        ({"time": [4, 4, 1]}, "row 2 has a second answer of student 1 at time 4"),
    ]:
        pq.write_table(pa.table(good | changes), path)
        assert f"a.parquet: {said}" in refusal(monkeypatch, source, tmp_path)
    pq.write_table(pa.table(good), path)
    assert len(read(source, 0).response) == 3
    path.write_bytes(path.read_bytes()[:-9])
    assert "a.parquet: cannot be read" in refusal(monkeypatch, source, tmp_path)


def test_tables_of_other_formats_or_none_are_refused(monkeypatch, tmp_path):
    for name, said in [("a.tsv", "neither .csv nor .parquet"), ("a.csv", "cannot be read")]:
        source = {"kind": "table", "path": str(tmp_path / name)}
        assert said in refusal(monkeypatch, source, tmp_path)


def test_a_fault_ends_the_command_with_code_1_and_nothing_but_the_sentence(tmp_path):
    source = three_lines(tmp_path, "1\n9\n0\n")
    job = job_of({"seed": 42, "source": source}, {"fetched": []}, outputs(tmp_path / "out"))
    command = [sys.executable, "-m", "scripts.deep_gpcm.load", job]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert "bad.txt: line 2 holds question 9" in done.stderr
    assert not (tmp_path / "out").exists()
