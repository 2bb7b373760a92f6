"""Columns of numbers of a user's table are read in one way, or refused with line or row."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from scripts.lib.faults import LoadError
from scripts.lib.foreign_columns import numbers


def csv(folder, content: str | bytes):
    path = folder / "table.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def parquet(folder, **columns):
    path = folder / "table.parquet"
    pq.write_table(pa.table(columns), path)
    return path


def npy(folder, array):
    path = folder / "table.npy"
    np.save(path, array)
    return path


@pytest.mark.parametrize(
    "content",
    [
        "a,b\n1,2\n3,4\n",
        "a,b\n1,2\n3,4",
        "a,b\r\n1,2\r\n3,4\r\n\r\n\r\n",
        '"a", b\n1.0, 2e0\n 3 ,4\n',
        b"\xef\xbb\xbfa,b\n1,2\n\n3,4\n",
    ],
)
def test_a_csv_file_means_the_same_however_it_is_written(tmp_path, content):
    names, values = numbers(csv(tmp_path, content))
    assert names == ["a", "b"]
    assert values.tolist() == [[1, 2], [3, 4]]


def test_columns_come_in_the_order_in_which_they_are_named(tmp_path):
    assert numbers(csv(tmp_path, "a,b\n1,2\n3,4\n"), ["b", "a"])[1].tolist() == [[2, 1], [4, 3]]
    there = parquet(tmp_path, a=[1, 2], name=["x", "y"], b=[0.5, 1.5])
    assert numbers(there, ["b", "a"])[1].tolist() == [[0.5, 1], [1.5, 2]]
    assert numbers(npy(tmp_path, np.arange(6).reshape(2, 3)), ["2", "0"])[1].tolist() == [
        [2, 0],
        [5, 3],
    ]


def test_a_column_of_text_that_is_not_asked_for_is_no_fault(tmp_path):
    assert numbers(csv(tmp_path, "a,b\n1,x\n"), ["a"])[1].tolist() == [[1]]


def test_an_array_of_one_dimension_is_one_column(tmp_path):
    names, values = numbers(npy(tmp_path, np.arange(3, dtype="int8")))
    assert names == ["0"]
    assert values.shape == (3, 1)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("a\n1\nx\n", "line 3 has 'x' in the column 'a'"),
        ("a,b\n1,2\n\n3,\n", "line 4 has '' in the column 'b'"),
        ("a\n1\nNaN\n", "line 3 has 'NaN'"),
        ("a\n1\n-inf\n", "line 3 has '-inf'"),
        ("a\n1\n1_0\n", "line 3 has '1_0'"),
        ('a\n"1,5"\n', "line 2 has '1,5'"),
        ("a\n1e999\n", "line 2 has '1e999'"),
        ("1,2\n3,4\n", "its first line has numbers only (1, 2)"),
        ("0.5\n0.7\n", "its first line has numbers only"),
        ("a,b\n1,2\n3\n", "line 3 has 1 fields, and there are 2 columns"),
        ("a,b\n1,2,3\n", "line 2 has 3 fields"),
        ("a,a\n1,2\n", "has the column 'a' 2 times"),
        ("a\n", "has no rows"),
        ("", "has no columns"),
        (b"a\n\xe9\n", "cannot be read"),
    ],
)
def test_what_is_no_table_of_numbers_is_one_sentence(tmp_path, content, sentence):
    with pytest.raises(LoadError) as refused:
        numbers(csv(tmp_path, content))
    assert sentence in str(refused.value)
    assert "table.csv" in str(refused.value)


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        ({"a": [1.0, None]}, "row 2 has no finite number in the column 'a'"),
        ({"a": [1.0, float("nan")]}, "row 2 has no finite number"),
        ({"a": ["1", "2"]}, "the column 'a' is none of numbers (it holds string)"),
        ({"a": [True, False]}, "it holds bool"),
        ({"a": [[1.0], [2.0]]}, "list"),
        ({"a": pa.array([], pa.float64())}, "has no rows"),
    ],
)
def test_a_parquet_column_that_is_none_of_numbers_is_one_sentence(tmp_path, columns, sentence):
    with pytest.raises(LoadError) as refused:
        numbers(parquet(tmp_path, **columns))
    assert sentence in str(refused.value)


@pytest.mark.parametrize(
    ("array", "sentence"),
    [
        (np.zeros((2, 2, 2)), "of shape (2, 2, 2)"),
        (np.zeros(3, bool), "holds bool"),
        (np.zeros(3, complex), "holds complex128"),
        (np.array(["a"]), "holds <U1"),
        (np.array([0.0, np.inf]), "row 2 has no finite number in the column '0'"),
        (np.zeros((0, 2)), "has no rows"),
        (np.zeros((2, 0)), "has no columns"),
    ],
)
def test_an_array_that_is_no_table_of_numbers_is_one_sentence(tmp_path, array, sentence):
    with pytest.raises(LoadError) as refused:
        numbers(npy(tmp_path, array))
    assert sentence in str(refused.value)


@pytest.mark.parametrize("name", ["table.txt", "table.xlsx", "table"])
def test_an_ending_that_is_not_known_is_refused(tmp_path, name):
    (tmp_path / name).write_text("a\n1\n")
    with pytest.raises(LoadError, match=r"expected \.csv, \.parquet or \.npy"):
        numbers(tmp_path / name)


def test_a_file_that_is_not_there_and_a_column_that_is_not_there_are_named(tmp_path):
    with pytest.raises(LoadError, match="No such file"):
        numbers(tmp_path / "nosuch.csv")
    with pytest.raises(LoadError, match="has no column 'c'; expected one of a, b"):
        numbers(csv(tmp_path, "a,b\n1,2\n"), ["c"])
