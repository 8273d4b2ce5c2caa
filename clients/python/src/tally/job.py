"""A job: to wait for, to look at, and to take the result of."""

from __future__ import annotations

import os
import sys
import time
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, Callable, Iterator, Optional, Union, overload

from . import frames
from .download import Download, buffered, save
from .errors import JobFailed, TallyError
from .events import watch
from .rows import Rows, records
from .source import OnSent, Source, input_of
from .transport import Transport
from .upload import upload
from .views import FullReceipt, JobView, Look, view

if TYPE_CHECKING:
    import pandas
    import polars
    import pyarrow

#: Is told each state of a job.
OnProgress = Callable[[JobView], None]

#: What `Accept` asks for each form of a result.
FORMATS = {
    "csv": "text/csv",
    "csv.gz": "application/gzip",
    "jsonl": "application/x-ndjson",
    "arrow": "application/vnd.apache.arrow.stream",
    "parquet": "application/vnd.apache.parquet",
}

Path = Union[str, "os.PathLike[str]"]


@dataclass(frozen=True)
class Reject:
    """A record that could not be counted."""

    #: Line of the input, from 1, the header being the first.
    line: int
    #: Offset of its first byte in the (decompressed) input.
    byte_offset: int
    #: The column at fault; `None` where the record as a whole is.
    column: Optional[str]
    #: What is wrong.
    reason: str
    #: Its original bytes.
    record: bytes


class Job:
    """A job of a master. Made by `Client.submit`, `Client.job` and `Client.jobs`."""

    def __init__(self, transport: Transport, id: str, seen: Optional[JobView] = None):
        self._transport = transport
        #: Its id.
        self.id = id
        self._seen = seen

    def __repr__(self) -> str:
        state = f", {self._seen.name!r}, {self._seen.state}" if self._seen else ""
        return f"<tally.Job {self.id}{state}>"

    @property
    def view(self) -> JobView:
        """The job as it was last seen; it is asked for where it was never seen."""
        return self._seen or self.refresh()

    @property
    def state(self) -> str:
        """Its state as it was last seen."""
        return self.view.state

    def refresh(self) -> JobView:
        """The job as it is now."""
        self._seen = view(JobView, self._transport.json("GET", self._path()))
        return self._seen

    def watch(self, timeout: Optional[float] = None) -> Iterator[JobView]:
        """The job now, and again whenever it changes, up to its end. Goes on by itself after broken
        connections and restarts of the master; raises `TimeoutError` after `timeout` seconds."""
        deadline = None if timeout is None else time.monotonic() + timeout
        for seen in watch(self._transport, self.id, deadline):
            self._seen = seen
            yield seen

    def wait(
        self,
        timeout: Optional[float] = None,
        *,
        progress: Union[None, bool, OnProgress] = None,
        check: bool = True,
    ) -> JobView:
        """Waits for its end. `progress` is called with each state that is seen; `True` shows it on stderr.

        Raises `JobFailed` where there is no result (unless `check` is false), and `TimeoutError` after
        `timeout` seconds: the job goes on."""
        tell = _teller(progress)
        for seen in self.watch(timeout):
            if tell is not None:
                tell(seen)
        ended = self.view
        if check and ended.state != "succeeded":
            raise JobFailed(ended)
        return ended

    @overload
    def result(self, path: None = None, *, format: str = "csv") -> bytes: ...
    @overload
    def result(self, path: Path, *, format: str = "csv") -> None: ...
    def result(self, path: Optional[Path] = None, *, format: str = "csv") -> Optional[bytes]:
        """The result: written to a file, whole or not at all; or as bytes, where no path is given (see `rows`
        and `open` for one that is large). `format` is `csv`, `csv.gz`, `jsonl`, `arrow` or `parquet`."""
        download = self._download(format)
        if path is not None:
            save(download, os.fspath(path))
            return None
        with buffered(download) as stream:
            return stream.read()

    def open(self, *, format: str = "csv") -> BinaryIO:
        """The result as a file to be read while it arrives."""
        return buffered(self._download(format))

    def rows(self) -> Rows:
        """The rows of the result as tuples of texts, integers and dates, one after the other as they arrive."""
        return Rows(self.open(), self.view.spec)

    def to_arrow(self) -> pyarrow.Table:
        """The result as a table of Arrow. Needs pyarrow."""
        return self._table()

    def to_pandas(self) -> pandas.DataFrame:
        """The result as a data frame of pandas; dates are `datetime64`. Needs pandas and pyarrow."""
        return frames.to_pandas(self._table())

    def to_polars(self) -> polars.DataFrame:
        """The result as a data frame of Polars. Needs polars and pyarrow."""
        return frames.to_polars(self._table())

    def look(
        self,
        limit: int = 100,
        *,
        offset: int = 0,
        prefix: Optional[str] = None,
        partial: bool = False,
        where: Optional[dict[str, str]] = None,
    ) -> Look:
        """Some rows of the result: those whose first column begins with `prefix`, whose columns have the
        values in `where`. With `partial` of what has been counted so far, while the job runs."""
        query = [("limit", str(limit)), ("offset", str(offset)), *(where or {}).items()]
        if prefix is not None:
            query.append(("prefix", prefix))
        if partial:
            query.append(("partial", "true"))
        headers = {"Accept": "application/json"}
        return view(Look, self._transport.json("GET", self._path("/result"), query=query, headers=headers))

    def rejects(self) -> Iterator[Reject]:
        """The records that could not be counted, one after the other as they arrive."""
        download = Download(self._transport, self._path("/rejects"), (), "text/csv")
        return _rejects(buffered(download))

    def receipt(self) -> FullReceipt:
        """The proof that nothing was lost."""
        return view(FullReceipt, self._transport.json("GET", self._path("/receipt")))

    def repair(self, source: Source, *, name: Optional[str] = None, key: Optional[str] = None) -> Job:
        """Counts corrected rejects of this job, in the form of an input of it; gives the job that does."""
        file = input_of(source)
        name = name or file.name
        query = [] if name is None else [("name", name)]
        return Job(self._transport, upload(self._transport, self._path("/repairs"), file, None, query, key))

    def input(self) -> BinaryIO:
        """Its (decompressed) input, where that is kept (`keep_input`)."""
        return buffered(Download(self._transport, self._path("/input"), (), "text/csv"))

    def cancel(self) -> JobView:
        """Cancels it, unless it has ended: then it stays as it is."""
        try:
            self._seen = view(JobView, self._transport.json("POST", self._path("/cancel")))
        except TallyError as error:
            if error.kind != "job-state":
                raise
            return self.refresh()
        return self._seen

    def delete(self) -> None:
        """Removes it with all its bytes. One that is gone already is no error."""
        try:
            self._transport.ask("DELETE", self._path(), expect=(204,)).close()
        except TallyError as error:
            if error.status not in (404, 410):
                raise

    def _path(self, rest: str = "") -> str:
        return f"/api/v1/jobs/{self.id}{rest}"

    def _download(self, format: str) -> Download:
        if format not in FORMATS:
            raise ValueError(f"{format!r} is no format: {', '.join(FORMATS)} are")
        query = [] if format == "csv" else [("format", format)]
        download = Download(self._transport, self._path("/result"), query, FORMATS[format])
        if download.content_type != FORMATS[format]:
            kind = download.content_type
            download.close()
            raise _NoSuchFormat(f"the master at {self._transport.url} gives no {format}, but {kind}")
        return download

    def _table(self) -> pyarrow.Table:
        try:
            stream = buffered(self._download("arrow"))
        except _NoSuchFormat as error:
            warnings.warn(f"{error}: its CSV is read instead", stacklevel=3)
            with self.open() as csv:
                return frames.from_csv(csv, self.view.spec)
        with stream:
            return frames.from_arrow(stream)


class _NoSuchFormat(TallyError):
    """The master is too old to give results in that form."""


def _rejects(stream: BinaryIO) -> Iterator[Reject]:
    with stream:
        found = records(iter(stream))
        next(found, None)
        for line, byte_offset, column, reason, record in found:
            original = record.encode("utf-8", "surrogateescape")
            yield Reject(int(line), int(byte_offset), column or None, reason, original)


def _teller(progress: Union[None, bool, OnProgress]) -> Optional[OnProgress]:
    if progress is True:
        return _show
    return None if progress is None or progress is False else progress


def _show(seen: JobView) -> None:
    """A job on stderr: on one line that is written again, where that is a terminal."""
    text = f"{seen.name}: {seen.state}"
    expected = seen.progress.bytes_expected or seen.progress.bytes_received
    if not seen.ended and expected:
        text += f", {min(100, 100 * seen.progress.bytes_counted // expected)}% counted"
    if seen.waiting_for:
        text += f", waits for {seen.waiting_for}"
    if seen.state == "succeeded" and seen.result is not None:
        text += f", {seen.result.rows} rows"
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="\n" if seen.ended else "", file=sys.stderr, flush=True)
    else:
        print(text, file=sys.stderr, flush=True)


def show_sent(name: str) -> OnSent:
    """Shows on stderr how much of an input has been sent, each time that it is a hundredth more."""
    last = [-1]

    def show(sent: int, whole: Optional[int]) -> None:
        percent = 100 if not whole else 100 * sent // whole
        if percent != last[0] and sys.stderr.isatty():
            last[0] = percent
            text = f"{sent >> 20} MiB" if whole is None else f"{percent}%"
            print(f"\r\x1b[K{name}: {text} sent", end="", file=sys.stderr, flush=True)

    return show


