"""CSV as Tally writes it (LF line ends, quotes only where needed, any byte within them), row by row and in
little memory. Python's own reader is not for that: it ends rows at a lone CR, and refuses long fields."""

from __future__ import annotations

import datetime
import functools
from typing import BinaryIO, Callable, Dict, Iterator, List, Optional, Sequence, Tuple, Union

from .errors import TallyError
from .spec import Spec

#: A value of a result: text, integer or date. A date that Python has none for (year 0) is text.
Value = Union[str, int, datetime.date]

#: A row of a result: a value for each column.
Row = Tuple[Value, ...]


def records(lines: Iterator[bytes]) -> Iterator[List[str]]:
    """The records of a CSV. Bytes that are no UTF-8 become lone surrogates, by which they can be had back:
    `text.encode("utf-8", "surrogateescape")`."""
    for line in lines:
        if b'"' not in line:
            yield line.rstrip(b"\n").decode("utf-8", "surrogateescape").split(",")
            continue
        parts = [line]
        quotes = line.count(b'"')
        while quotes % 2:
            more = next(lines, b"")
            if not more:
                raise TallyError("the CSV ends within quotes: it did not come whole")
            parts.append(more)
            quotes += more.count(b'"')
        text = b"".join(parts).decode("utf-8", "surrogateescape")
        yield _quoted(text[:-1] if text.endswith("\n") else text)


def _quoted(text: str) -> List[str]:
    fields, at = [], 0
    while True:
        if text.startswith('"', at):
            end = text.find('"', at + 1)
            while text.startswith('"', end + 1):
                end = text.find('"', end + 2)
            fields.append(text[at + 1 : end].replace('""', '"'))
            at = end + 1
        else:
            end = text.find(",", at)
            end = len(text) if end < 0 else end
            fields.append(text[at:end])
            at = end
        if at >= len(text):
            return fields
        at += 1


@functools.lru_cache(maxsize=100_000)
def date(text: str) -> Value:
    """A date of a result."""
    try:
        return datetime.date.fromisoformat(text)
    except ValueError:
        return text


def converters(spec: Spec) -> Sequence[Callable[[str], Value]]:
    """What makes the values of a row of the texts in a CSV."""
    kinds: Dict[str, Callable[[str], Value]] = {"text": str, "integer": int, "date": date}
    keys = [kinds.get(key.kind, str) for key in spec.group_by]
    return [*keys, *(int for _ in spec.aggregates)]


class Rows(Iterator[Row]):
    """The rows of a result, one after the other as they arrive: never all of them in memory. To be read once;
    closed by itself at its end, or by `close`, or as a context manager."""

    def __init__(self, stream: BinaryIO, spec: Spec, at_end: Optional[Callable[[], None]] = None):
        self._stream = stream
        self._at_end = at_end
        self._records = records(iter(stream))
        #: The names of the columns.
        self.columns: List[str] = next(self._records, [])
        made = converters(spec)
        if len(made) != len(self.columns):
            raise TallyError(f"the result has the columns {self.columns}, the job {spec.columns}")
        self._texts = [number for number, convert in enumerate(made) if convert is str]
        self._made = made

    def __iter__(self) -> Rows:
        return self

    def __next__(self) -> Row:
        try:
            record = next(self._records)
        except StopIteration:
            self.close()
            at_end, self._at_end = self._at_end, None
            if at_end is not None:
                at_end()
            raise
        return tuple([convert(text) for convert, text in zip(self._made, record)])

    def dicts(self) -> Iterator[Dict[str, Value]]:
        """The rows that are left, as dicts by the columns' names."""
        for row in self:
            yield dict(zip(self.columns, row))

    def close(self) -> None:
        """Reads no more."""
        self._stream.close()

    def __enter__(self) -> Rows:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
