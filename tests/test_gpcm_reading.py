"""What can be read in two ways is read in the way that is said, or refused with a way out."""

import logging

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from scripts.deep_gpcm.options import LongTable
from scripts.lib.table_files import read_metadata
from tests.gpcm_files import TINY, load, outputs, read, refusal, same_answers, save_csv

ROWS = [("a", 1, "x", 0), ("a", 2, "y", 2), ("b", 1, "x", 1), ("b", 2, "y", 1)]


def coded(base: int) -> list[tuple]:
    return [(*row[:3], row[3] + base) for row in ROWS]


def three_lines(folder, text: str | bytes, **changes) -> dict:
    path = folder / "a.txt"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    source = {"kind": "three_lines", "files": [str(path)], "format": "OC"}
    return source | {"questions": 3, "categories": 2, "id_base": 1} | changes


def test_responses_from_1_are_the_answers_of_those_from_0_and_it_is_said(tmp_path):
    zero, one = (read(save_csv(tmp_path / f"{b}.csv", coded(b)), 0) for b in (0, 1))
    assert same_answers(zero, one)
    assert one.items.equals(zero.items)
    assert "from 1, as no 0 occurs" in one.reading["responses"]
    assert zero.reading["responses"] == "from 0, as 0 occurs"


@pytest.mark.parametrize("base", [0, 1, 3, -1])
def test_a_stated_base_is_that_of_the_lowest_category_whatever_occurs(base, tmp_path):
    source = save_csv(tmp_path / "a.csv", coded(base)) | {"response_base": base}
    assert same_answers(read(source, 0), read(save_csv(tmp_path / "0.csv", ROWS), 0))
    # Nobody gave the lowest category.
    source = save_csv(tmp_path / "b.csv", [row for row in coded(base) if row[3] > base])
    assert read(source | {"response_base": base}, 0).response.min() == 1


@pytest.mark.parametrize(
    ("responses", "said"),
    [
        ([2, 3, 4, 3], "the responses are 2 to 4, which does not tell where the categories start"),
        ([1, 1, 1, 1], "the responses are all 1"),
        ([7, 7, 7, 7], "the responses are all 7"),
        ([-1, 0, 1, 0], "line 2 has response -1; expected a whole number from 0 to 126 (resp"),
    ],
)
def test_responses_that_start_anywhere_else_need_a_stated_base(
    responses, said, monkeypatch, tmp_path
):
    rows = [(*row[:3], response) for row, response in zip(ROWS, responses, strict=True)]
    sentence = refusal(monkeypatch, save_csv(tmp_path / "a.csv", rows), tmp_path)
    assert said in sentence
    assert "response_base" in sentence


def test_a_response_below_the_stated_base_is_refused(monkeypatch, tmp_path):
    source = save_csv(tmp_path / "a.csv", ROWS) | {"response_base": 1}
    assert "line 2 has response 0; expected a whole number from 1 to" in refusal(
        monkeypatch, source, tmp_path
    )


def test_three_line_responses_from_1_are_read_alike(tmp_path):
    zero = read(three_lines(tmp_path, "3\n1,2,3\n0,1,1\n2\n1,2\n1,0\n"), 0)
    one = read(three_lines(tmp_path, "3\n1,2,3\n1,2,2\n2\n1,2\n2,1\n"), 0)
    assert same_answers(zero, one)
    assert "from 1" in one.reading["responses"]
    shares = read(three_lines(tmp_path, "2\n1,2\n0.000,1.000\n", format="PC"), 0)
    assert "shares of full credit" in shares.reading["responses"]


def test_true_and_false_are_1_and_0(tmp_path):
    rows = [(*row[:3], bool(row[3])) for row in ROWS]
    assert read(save_csv(tmp_path / "a.csv", rows), 0).response.tolist() == [0, 1, 1, 1]


def test_categories_come_from_the_key_or_the_data_and_it_is_said(tmp_path):
    source = save_csv(tmp_path / "a.csv", ROWS)
    assert read(source, 0).reading["categories"].startswith("2 to 3 an item, up to its highest")
    assert "1 items have one below that nobody gave" in read(source, 0).reading["categories"]
    stated = read(source | {"categories": 5}, 0)
    assert stated.reading["categories"] == "5 an item (categories)"


def test_ties_stay_in_the_order_of_the_file_on_request_and_are_counted(monkeypatch, tmp_path):
    rows = [("a", 5, "y", 0), ("a", 1, "z", 1), ("a", 5, "x", 1), ("a", 5, "w", 0)]
    source = save_csv(tmp_path / "a.csv", rows)
    assert "ties: file_order" in refusal(monkeypatch, source, tmp_path)
    found = read(source | {"ties": "file_order"}, 0)
    names = found.items["name"].to_numpy()[found.question - 1]
    assert names.tolist() == ["z", "y", "x", "w"]
    assert "2 answers at the time of another" in found.reading["order"]


def test_without_a_time_the_order_is_that_of_the_rows(tmp_path):
    rows = [("b", "q2", 0), ("a", "q1", 1), ("b", "q1", 1), ("a", "q2", 0)]
    table = {"student": list("baba"), "item": [row[1] for row in rows], "response": [0, 1, 1, 0]}
    pq.write_table(pa.table(table), tmp_path / "a.parquet")
    csv = save_csv(tmp_path / "a.csv", rows, ("student", "item", "response"))
    for source in (csv, {"kind": "table", "path": str(tmp_path / "a.parquet")}):
        found = read(source | {"time": "none"}, 0)
        assert found.question.tolist() == [1, 2, 2, 1]
        assert found.reading["order"] == "the rows' (time: none)"


@pytest.mark.parametrize("word", ["nan", "NaN", "NA", "null", "None", "<NA>", " n/a", " "])
@pytest.mark.parametrize("role", [0, 2])
def test_a_name_as_missing_values_are_written_is_refused_or_asked_for(
    word, role, monkeypatch, tmp_path
):
    last = ["c", 9, "x", 0]
    last[role] = word
    rows = [*ROWS, last]
    source = save_csv(tmp_path / "a.csv", rows)
    sentence = refusal(monkeypatch, source, tmp_path)
    assert f"line 6 has the {('student', '', 'item')[role]} {word!r}" in sentence
    assert "missing: text" in sentence
    found = read(source | {"missing": "text"}, 0)
    assert word in (found.students if role == 0 else found.items)["name"].tolist()


def test_ids_are_text_whatever_they_look_like(tmp_path):
    rows = [("007", 1, "1.50", 0), ("7", 1, "1.5", 1), ("Nana", 1, "1e3", 0)]
    found = read(save_csv(tmp_path / "a.csv", rows), 0)
    assert sorted(found.students["name"]) == ["007", "7", "Nana"]
    assert sorted(found.items["name"]) == ["1.5", "1.50", "1e3"]


def test_two_columns_of_one_name_are_refused_in_every_role(monkeypatch, tmp_path):
    for name in ("student", "time", "item", "response"):
        header = ("student", "time", "item", "response", name)
        source = save_csv(tmp_path / "a.csv", [(*row, row[0]) for row in ROWS], header)
        assert f"has the column {name!r}" in refusal(monkeypatch, source, tmp_path)


@pytest.mark.parametrize("line", [1, 2, 300_000])
@pytest.mark.parametrize("codec", ["latin-1", "cp1252", "utf-16"])
def test_another_encoding_is_refused_wherever_its_letter_stands(line, codec, monkeypatch, tmp_path):
    head, rows = "student,time,item,response,note", [f"s{i},1,q,{i % 2},n" for i in range(300_000)]
    lines = [head, *rows[: max(line, 9)]]
    lines[line - 1] += "\N{LATIN SMALL LETTER E WITH ACUTE}"
    path = tmp_path / "a.csv"
    path.write_bytes("\n".join(lines).encode(codec))
    sentence = refusal(monkeypatch, {"kind": "table", "path": str(path)}, tmp_path)
    assert f"line {1 if codec == 'utf-16' else line} has the byte" in sentence
    assert "save it as UTF-8" in sentence


def test_a_letter_cut_in_two_by_the_blocks_of_the_reader_is_a_letter(monkeypatch, tmp_path):
    from scripts.lib import foreign

    rows = [(s, t, item + "\N{CYRILLIC SMALL LETTER YA}", r) for s, t, item, r in ROWS]
    source = save_csv(tmp_path / "a.csv", rows)
    for chunk in (1, 2, 3):
        monkeypatch.setattr(foreign, "CHUNK", chunk)
        assert len(read(source, 0).response) == 4


def test_a_byte_order_mark_before_quoted_names_is_no_part_of_them(tmp_path):
    text = '"student","time","item","response"\r\n' + "".join(
        f'"{s}","{t}","{i}","{r}"\r\n' for s, t, i, r in ROWS
    )
    (tmp_path / "a.csv").write_bytes(b"\xef\xbb\xbf" + text.encode())
    expected = read(save_csv(tmp_path / "b.csv", ROWS), 0)
    assert same_answers(read({"kind": "table", "path": str(tmp_path / "a.csv")}, 0), expected)


@pytest.mark.parametrize("end", ["", "\n", "\n\n", "\n\n\n", "\n" * 7, "\n \n\t\n"])
def test_empty_lines_at_the_end_are_none(end, tmp_path):
    text = "3\n1,2,3\n0,1,1\n2\n1,2\n1,0"
    assert len(read(three_lines(tmp_path, text + end), 0).response) == 5


@pytest.mark.parametrize("comma", [", ", " ,", " , ", ",\t"])
def test_spaces_beside_commas_are_skipped(comma, tmp_path):
    text = "3\n1,2,3\n0,1,1\n2\n1,2\n1,0\n"
    found = read(three_lines(tmp_path, text.replace(",", comma)), 0)
    assert same_answers(found, read(three_lines(tmp_path, text), 0))


def test_whole_numbers_may_be_printed_with_a_point_and_others_not(monkeypatch, tmp_path):
    found = read(three_lines(tmp_path, "2\n1.0,2.0\n0.0,1.0\n"), 0)
    assert found.response.tolist() == [0, 1]
    source = three_lines(tmp_path, "2\n1,2\n0,0.5\n")
    assert "line 3 holds '0.5'; expected whole" in refusal(monkeypatch, source, tmp_path)


def test_how_a_source_was_read_is_in_the_log_and_in_the_metadata(monkeypatch, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    source = save_csv(tmp_path / "a.csv", coded(1)) | {"window": 2}
    assert load(monkeypatch, source, tmp_path / "out") is None
    for path in outputs(tmp_path / "out").values():
        reading = read_metadata(path)["reading"]
        assert reading == read(source, 0).reading
        assert list(reading) == ["responses", "categories", "order", "windows"]
        assert all(how in caplog.text for how in reading.values())


def test_drawn_answers_have_nothing_to_say(tmp_path):
    assert read(TINY, 0).reading == {}


def test_the_defaults_refuse_what_would_be_a_guess():
    source = LongTable(kind="table", path="a.csv")
    assert (source.ties, source.missing, source.response_base) == ("refuse", "refuse", None)
