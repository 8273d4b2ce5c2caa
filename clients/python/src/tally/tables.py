"""Tables: keyed rows that live on in a master, and operations that each apply once."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from typing import Any, Dict, Iterable, Iterator, List, Mapping, Optional, Sequence, Tuple, Type, TypeVar, Union
from urllib.parse import quote

from .errors import TallyError
from .events import STREAM_SILENCE, events
from .job import Job, Path
from .source import Source, input_of
from .spec import Pairs
from .transport import LATER, Answer, Broken, Bytes, Patience, Transport
from .upload import upload

V = TypeVar("V")

#: Rows, groups and changes on a page.
PAGE = 1000

#: Operations that are sent at once, unless another number is asked for; and the most that may be.
BATCH, MAX_BATCH = 1000, 10_000

#: Bytes of a table that are read at a time.
PIECE = 1 << 20

#: A value of a column: text, an integer, a date as `YYYY-MM-DD`, or nothing.
Field = Union[str, int, None]

#: The key of a row: its value, or the values of all key columns.
Key = Union[str, int, Sequence[Field]]

#: An operation: `message_id`, `op` (`add`, `update`, `delete`), `key`, `row`, `expected_version`.
Operation = Mapping[str, Any]


@dataclass(frozen=True)
class TableView:
    """A table."""

    name: str = ""
    #: The key columns, in order.
    key: Sequence[str] = ()
    #: All columns, in order: `name`, `kind`, `nullable`.
    columns: Sequence[Mapping[str, Any]] = ()
    #: Its aggregates: `name`, `group_by`, `values`.
    aggregates: Sequence[Mapping[str, Any]] = ()
    rows: int = 0
    #: Number of its last change.
    version: int = 0
    created_at: str = ""


@dataclass(frozen=True)
class TableRow:
    """A row, with the number of the change that made it what it is."""

    key: Any
    version: int
    changed_at: str
    row: Dict[str, Field]


@dataclass(frozen=True)
class Outcome:
    """What came of an operation. `repeated` says that it had been applied before: this is what came of it
    then."""

    message_id: str
    outcome: str
    version: Optional[int] = None
    repeated: bool = False
    problem: Optional[str] = None

    @property
    def done(self) -> bool:
        """Whether the table is now as the operation wanted it."""
        return self.outcome in ("added", "updated", "deleted", "unchanged")


@dataclass(frozen=True)
class Change:
    """A change of a row; `row` is `None` where it was removed."""

    version: int
    change: str
    key: Any
    row: Optional[Dict[str, Field]]
    changed_at: str


class ChangesLost(TallyError):
    """Changes that were asked for are not kept any more: read the rows again, and follow from `version`."""

    def __init__(self, version: int):
        super().__init__(f"changes up to {version} are not kept any more: read the rows again")
        self.version = version


class Table:
    """A table of a master; nothing is asked before a method is called."""

    def __init__(self, transport: Transport, name: str):
        self._transport = transport
        self.name = name
        self._path = f"/api/v1/tables/{quote(name, safe='')}"

    def __repr__(self) -> str:
        return f"tally.Table({self.name!r})"

    def view(self) -> TableView:
        """The table as it is now."""
        return _known(TableView, self._transport.json("GET", self._path))

    def drop(self) -> None:
        """Removes the table with its rows, aggregates and history."""
        with self._transport.ask("DELETE", self._path, expect=(204, 404)) as answer:
            if answer.status == 404:
                raise answer.refused()

    def apply(self, operations: Iterable[Operation], *, batch: int = BATCH) -> Iterator[Outcome]:
        """Applies operations in their order, `batch` at a time as one transaction, and gives what came of
        each: they are sent as the outcomes are read, so read all of them. A broken connection is no harm:
        the same are sent again, and applied once by their message ids. An operation without one gets a
        `message_id` of its own, which holds for this call alone."""
        if not 1 <= batch <= MAX_BATCH:
            raise ValueError(f"batch: 1 to {MAX_BATCH}")
        some: List[Operation] = []
        for operation in operations:
            known = operation if "message_id" in operation else {**operation, "message_id": str(uuid.uuid4())}
            some.append(known)
            if len(some) >= batch:
                yield from self._apply(some)
                some = []
        if some:
            yield from self._apply(some)

    def _apply(self, operations: List[Operation]) -> Iterator[Outcome]:
        body = Bytes(json.dumps(operations).encode())
        headers = {"Content-Type": "application/json"}
        told = self._transport.json("POST", f"{self._path}/operations", body=body, headers=headers)
        for one in told["results"]:
            yield _known(Outcome, one)

    def row(self, key: Key) -> TableRow:
        """A row by its key. Raises `TallyError` of the kind `row-not-found` where there is none."""
        return _known(TableRow, self._transport.json("GET", self._row(key)))

    def history(self, key: Key) -> List[Change]:
        """What a row was, the newest change first, as far back as is kept."""
        told = self._transport.json("GET", f"{self._row(key)}/history")
        return [_known(Change, one) for one in told["changes"]]

    def _row(self, key: Key) -> str:
        if isinstance(key, (str, int)):
            text = str(key)
        else:
            text = str(key[0]) if len(key) == 1 else json.dumps(list(key))
        return f"{self._path}/rows/{quote(text, safe='')}"

    def rows(
        self,
        where: Optional[Mapping[str, Field]] = None,
        *,
        search: Optional[str] = None,
        sort: Optional[str] = None,
        order: str = "asc",
        page: int = PAGE,
    ) -> Iterator[TableRow]:
        """Rows, page by page as they are read. `where` has columns that must have a value, also as
        `COLUMN.prefix`, `COLUMN.from` and `COLUMN.before`; `sort` is a column, or `_version`."""
        query: Pairs = [(name, "" if value is None else str(value)) for name, value in (where or {}).items()]
        query += _given(search=search, sort=sort, order=order, limit=str(page))
        for one in self._pages(f"{self._path}/rows", query):
            for row in one["rows"]:
                yield _known(TableRow, row)

    def aggregate(
        self,
        name: str,
        *,
        group: Optional[str] = None,
        prefix: Optional[str] = None,
        sort: Optional[str] = None,
        order: str = "asc",
        page: int = PAGE,
    ) -> Iterator[Tuple[Field, ...]]:
        """The groups of an aggregate, page by page as they are read: the group, then its values."""
        query = _given(group=group, prefix=prefix, sort=sort, order=order, limit=str(page))
        for one in self._pages(f"{self._path}/aggregates/{quote(name, safe='')}", query):
            for row in one["rows"]:
                yield tuple(row)

    def _pages(self, path: str, query: Pairs) -> Iterator[Any]:
        cursor: Optional[str] = None
        while True:
            page = self._transport.json("GET", path, query=query + _given(cursor=cursor))
            yield page
            cursor = page.get("next")
            if not cursor:
                return

    def changes(self, after: Optional[int] = None, *, follow: bool = True) -> Iterator[Change]:
        """Changes after a version, else from now on, as they happen; without `follow` those that there are.
        Goes on by itself after broken connections and restarts of the master, and ends when the table is
        dropped. Raises `ChangesLost` where some are not kept any more."""
        last = self.view().version if after is None else after
        if follow:
            yield from self._follow(last)
            return
        while True:
            query = [("after", str(last)), ("limit", str(PAGE))]
            page = self._transport.json("GET", f"{self._path}/changes", query=query)
            for one in page["changes"]:
                yield _known(Change, one)
            if not page["changes"]:
                return
            last = page["next"]

    def _follow(self, last: int) -> Iterator[Change]:
        patience = Patience(self._transport.retry_for)
        while True:
            headers = {"Accept": "text/event-stream", "Last-Event-ID": str(last)}
            failure, hint = TallyError("the master ended the stream"), 0.0
            try:
                path = f"{self._path}/changes"
                with self._transport.once("GET", path, headers=headers, silence=STREAM_SILENCE) as answer:
                    if answer.status == 200:
                        for event in events(answer):
                            patience.worked()
                            if event.name == "change":
                                change = _known(Change, json.loads(event.data))
                                last = change.version
                                yield change
                            elif event.name == "lost":
                                raise ChangesLost(int(json.loads(event.data)["version"]))
                            elif event.name == "dropped":
                                return
                    elif answer.status in LATER:
                        failure, hint = answer.refused(), answer.retry_after()
                    else:
                        raise answer.refused()
            except Broken as error:
                failure = self._transport.unreachable(error)
            if not patience.wait(hint):
                raise failure

    def import_csv(self, source: Source, *, mode: str = "merge", name: Optional[str] = None, **more: str) -> Job:
        """Puts a file's rows into the table: a job as any other, given once all of the file has arrived.
        `mode` is `merge`, or `replace`, which deletes rows that are not in the file. `more` are parameters
        of the submission, such as `delimiter`, `max_rejects`, `key` or `preset`."""
        file = input_of(source)
        query: Pairs = [("table", self.name), ("mode", mode), *more.items()]
        query += _given(name=name or file.name)
        return Job(self._transport, upload(self._transport, "/api/v1/jobs", file, None, query, None))

    def export(self, out: Path, *, format: str = "csv") -> int:
        """Writes all rows of one moment to a file, as `csv`, `json` or `jsonl`; gives its length in bytes."""
        size = 0
        with self.open(format=format) as answer, open(out, "wb") as file:
            while True:
                piece = answer.response.read(PIECE)
                if not piece:
                    return size
                size += file.write(piece)

    def open(self, *, format: str = "csv") -> Answer:
        """All rows of one moment, to be read from `response`."""
        return self._transport.ask("GET", f"{self._path}/data", query=[("format", format)])

    def recount(self) -> Dict[str, Any]:
        """Counts the aggregates anew and compares: `right` says whether all is right."""
        told: Dict[str, Any] = self._transport.json("POST", f"{self._path}/recount")
        return told


class Tables:
    """The tables of a master: `client.tables["products"]`."""

    def __init__(self, transport: Transport):
        self._transport = transport

    def __getitem__(self, name: str) -> Table:
        return Table(self._transport, name)

    def __iter__(self) -> Iterator[Table]:
        for one in self.list():
            yield Table(self._transport, one.name)

    def list(self) -> List[TableView]:
        """All tables, by name."""
        return [_known(TableView, one) for one in self._transport.json("GET", "/api/v1/tables")["tables"]]

    def create(
        self,
        name: Optional[str] = None,
        *,
        preset: Optional[str] = None,
        columns: Optional[Mapping[str, str]] = None,
        key: Union[str, Sequence[str]] = (),
        aggregates: Sequence[Mapping[str, Any]] = (),
    ) -> Table:
        """Declares a table and gives it; in the same words once more changes nothing. Either `preset`
        (`products`, `plays`), or a name with `columns` (`text`, `integer` or `date` by name, with `?` behind
        it where it may hold nothing), the `key`'s columns, and `aggregates` as the HTTP reference has them."""
        wanted: Dict[str, Any]
        if preset is not None:
            if name is not None or columns or key or aggregates:
                raise ValueError("a preset takes the place of all else")
            wanted = {"preset": preset}
        else:
            declared = [
                {"name": column, "kind": kind.rstrip("?"), "nullable": kind.endswith("?")}
                for column, kind in (columns or {}).items()
            ]
            keys = [key] if isinstance(key, str) else list(key)
            wanted = {"name": name, "columns": declared, "key": keys, "aggregates": [dict(one) for one in aggregates]}
        body, headers = Bytes(json.dumps(wanted).encode()), {"Content-Type": "application/json"}
        told = self._transport.json("POST", "/api/v1/tables", body=body, headers=headers, expect=(200, 201))
        return Table(self._transport, told["name"])


def _given(**values: Optional[str]) -> Pairs:
    return [(name, value) for name, value in values.items() if value is not None]


def _known(kind: Type[V], data: Mapping[str, Any]) -> V:
    """A view of what the master sent; fields that this version does not know are passed over."""
    return kind(**{name: data[name] for name in getattr(kind, "__dataclass_fields__") if name in data})
