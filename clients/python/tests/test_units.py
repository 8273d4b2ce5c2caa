"""The parts that need no master: CSV, specs, views, sources."""

import csv
import datetime
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tally import Aggregate, Column, JobView, Problem, Spec, TallyError
from tally.rows import Rows, date, records
from tally.source import input_of
from tally.spec import spec_of
from tally.upload import Form
from tally.views import view

FIELD = st.text(st.sampled_from('ab,"\n\r ü歌\x00'), max_size=8)


@given(st.lists(st.lists(FIELD, min_size=2, max_size=4), max_size=6))
def test_what_is_written_is_read(rows):
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    # A row of one empty field is written as "" by Python; Tally's rows have two fields at least.
    assert list(records(iter(io.BytesIO(text.getvalue().encode())))) == rows


def test_a_csv_that_ends_within_quotes_is_no_csv():
    with pytest.raises(TallyError, match="did not come whole"):
        list(records(iter(io.BytesIO(b'a,b\n"c,1\n'))))


def test_bytes_that_are_no_text_can_be_had_back():
    ((field, _),) = records(iter(io.BytesIO(b"caf\xe9,1\n")))
    assert field.encode("utf-8", "surrogateescape") == b"caf\xe9"


def test_rows_have_the_types_of_their_spec():
    spec = Spec.of(["Song", "Date", "Shop:integer"], sum="Plays")
    text = b"Song,Date,Shop,Total Plays for Shop\n007,2020-02-29,-3,9223372036854775807\n007,0000-01-01,4,1\n"
    ended = []
    rows = Rows(io.BytesIO(text), spec, lambda: ended.append(True))
    assert rows.columns == spec.columns
    assert next(rows) == ("007", datetime.date(2020, 2, 29), -3, 9223372036854775807)
    assert not ended
    # Python has no year 0.
    assert list(rows.dicts()) == [{"Song": "007", "Date": "0000-01-01", "Shop": 4, "Total Plays for Shop": 1}]
    assert ended == [True]
    assert date("2020-02-30") == "2020-02-30"


def test_a_result_of_other_columns_is_refused():
    with pytest.raises(TallyError, match="columns"):
        Rows(io.BytesIO(b"Song,Total\n"), Spec.preset("plays"))


def test_short_forms():
    spec = Spec.of("Shop", sum=["Price", "Tax=VAT"], min="Price=cheapest", count="n", order="first-seen")
    assert spec.group_by == [Column("Shop", "text")]
    assert spec.aggregates == [
        Aggregate("sum", "Price", "Total Price for Shop"),
        Aggregate("sum", "Tax", "VAT"),
        Aggregate("min", "Price", "cheapest"),
        Aggregate("count", None, "n"),
    ]
    assert Spec.of(" DATE ").group_by == [Column("DATE", "date")]
    assert Spec.of("Date:text").group_by == [Column("Date", "text")]
    assert Spec.of("a:b:integer").group_by == [Column("a:b", "integer")]
    with pytest.raises(ValueError, match="kind"):
        Spec.of("a:b")


def test_what_a_query_can_say_it_says():
    spec = Spec.of(["Shop", "Article:integer"], sum="Price=R=1", count="Sales", max_rejects="1%", delimiter="tab")
    assert spec.to_query() == [
        ("group_by", "Shop:text"),
        ("group_by", "Article:integer"),
        ("sum", "Price=R=1"),
        ("count", "Sales"),
        ("order", "sorted"),
        ("max_rejects", "1%"),
        ("delimiter", "tab"),
    ]
    assert Spec.from_json(spec.to_json()).to_json() == spec.to_json()


@pytest.mark.parametrize(
    "spec",
    [
        Spec([Column("Name, full")], [Aggregate("count", None, "n")]),
        Spec([Column("a")], [Aggregate("sum", "b=c", "n")]),
        Spec([Column("a")], [Aggregate("count", None, "n"), Aggregate("sum", "b", "m")]),
        Spec([Column("a")], [Aggregate("count", None, " n")]),
    ],
)
def test_what_a_query_can_not_say_is_left_to_json(spec):
    assert spec.to_query() is None


def test_options_that_make_no_sense_are_refused():
    assert spec_of({}).columns == Spec.preset("plays").columns
    assert spec_of({"preset": "products", "order": "first-seen"}).order == "first-seen"
    with pytest.raises(TypeError, match="grup_by"):
        spec_of({"grup_by": "Song"})
    with pytest.raises(ValueError, match="one of"):
        spec_of({"preset": "plays", "group_by": "Song"})
    with pytest.raises(ValueError, match="need group_by"):
        spec_of({"sum": "Plays"})
    with pytest.raises(ValueError, match="preset"):
        spec_of({"preset": "songs"})


def test_views_pass_over_what_they_do_not_know():
    seen = view(
        JobView,
        {
            "id": "x",
            "state": "succeeded",
            "opened_at": "2026-11-21T19:00:00.007Z",
            "of_the_future": {"a": [1]},
            "spec": Spec.preset("plays").to_json(),
            "progress": {"bytes_received": 7, "bytes_expected": None, "more": 1},
            "result": {"rows": 1, "totals": [{"name": "n", "value": "123456789012345678901234567890"}]},
        },
    )
    assert seen.opened_at == datetime.datetime(2026, 11, 21, 19, 0, 0, 7000, datetime.timezone.utc)
    assert seen.ended and seen.ended_at is None and seen.rejects == []
    assert seen.progress.bytes_received == 7 and seen.progress.bytes_expected is None
    assert seen.result is not None and seen.result.totals[0].value == 123456789012345678901234567890


def test_problems():
    problem = Problem.from_json({"type": "/docs/http.md#busy", "title": "T", "status": 429, "detail": "d", "x": 1})
    assert problem.kind == "busy"
    assert str(TallyError.of(problem)) == "T: d"


def test_sources(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(b"0123456789")
    file = input_of(path)
    assert (file.name, file.length, b"".join(file.pieces()), b"".join(file.pieces())) == (
        "a.csv", 10, b"0123456789", b"0123456789",
    )
    assert b"".join(file.from_byte(7).pieces()) == b"789"
    assert b"".join(file.from_byte(3).from_byte(7).pieces()) == b"789"
    with open(path, "rb") as opened:
        opened.seek(4)
        rest = input_of(opened)
        assert (rest.name, rest.length, b"".join(rest.pieces())) == ("a.csv", 6, b"456789")
        assert b"".join(rest.from_byte(2).pieces()) == b"6789"
    once = input_of(iter([b"a", b"b"]))
    assert not once.again and once.length is None and b"".join(once.pieces()) == b"ab"
    with pytest.raises(RuntimeError):
        once.pieces()
    with open(path) as text, pytest.raises(TypeError, match="rb"):
        input_of(text)
    with pytest.raises(TypeError):
        input_of(7)
    assert input_of(b"abc").first(2) == b"ab"


def test_the_bytes_that_are_sent_are_told(tmp_path):
    told = []
    file = input_of(b"0123456789", lambda sent, whole: told.append((sent, whole)))
    list(file.pieces())
    list(file.from_byte(4).pieces())
    assert told == [(10, 10), (10, 10)]


def test_a_form_is_as_long_as_it_says():
    form = Form(Spec.preset("plays"), input_of(b"abc"))
    assert len(b"".join(form.pieces())) == form.length
