"""CSV injection: text that a spreadsheet would calculate is escaped, without loss."""

import csv
import io

import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from data.io import atomic, csv_injection

SIGNS = list("=+-@\t\r\n＝＋－＠' aé1")
texts = st.text(st.sampled_from(SIGNS) | st.characters(exclude_categories=["Cs"]), max_size=8)


@given(texts, texts)
@example("'=1+1", "=1+1")
@example("''", "'")
@example("\x1c=1", "")
def test_different_texts_stay_different_when_escaped(one, other):
    assert (csv_injection.escape_formula(one) == csv_injection.escape_formula(other)) == (
        one == other
    )


@given(texts)
def test_no_escaped_text_starts_like_a_formula(text):
    assert not csv_injection.escape_formula(text).lstrip().startswith(tuple("=+-@＝＋－＠"))
    assert not csv_injection.escape_formula(text).startswith(("\t", "\r", "\n"))


@given(st.lists(texts | st.none(), min_size=1, max_size=8))
@example(["\x1f="])
def test_a_column_is_escaped_like_each_of_its_rows(column):
    frame = pl.DataFrame({"text": pl.Series(column, dtype=pl.String)})

    result = frame.select(csv_injection.escape_formula_column("text"))["text"].to_list()

    assert result == [
        None if text is None else csv_injection.escape_formula(text) for text in column
    ]


@pytest.mark.parametrize("name", ["=HYPERLINK(1)", "two\nlines", "a\rb", 'quo"te', ";,\t"])
def test_a_csv_list_is_readable_and_contains_no_formula(tmp_path, name):
    frame = pl.DataFrame({"name": [name], "signals": [[name, "-1"]], "change": [-0.5]})

    atomic.write_table(frame, tmp_path / "list.csv")

    text = (tmp_path / "list.csv").read_bytes().decode()
    _, row = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    assert row == [
        csv_injection.escape_formula(name),
        csv_injection.escape_formula(f"{name}; -1"),
        "-0.5",
    ]
    assert not row[0].startswith("=")
    assert row[2] == "-0.5"  # a number is a number
