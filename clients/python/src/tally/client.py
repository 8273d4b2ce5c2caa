"""A master, and what it can be asked for."""

from __future__ import annotations

import datetime
import json
import ssl
import uuid
from typing import TYPE_CHECKING, Any, Iterable, Iterator, Mapping, Optional, Tuple, Union, overload

from .job import Job, OnProgress, Path, show_sent
from .rows import Rows
from .source import OnSent, Source, input_of
from .spec import Pairs, SpecOptions, spec_of
from .tables import Tables
from .tls import File, authorized, context
from .transport import Bytes, Transport
from .upload import common, submit, upload
from .views import JobView, Preflight, SetAsideView, SlaveView, view

if TYPE_CHECKING:
    from typing_extensions import Unpack

#: Where a master listens for HTTP unless it was told otherwise.
DEFAULT_URL = "http://127.0.0.1:8080"

#: Bytes of an input's beginning that are looked at before it is counted.
PREFLIGHT_BYTES = 16 << 20

#: Jobs on a page of a list.
PAGE = 500

Words = Union[str, Iterable[str]]


class Client:
    """A master. `retry_for` is how many seconds to go on trying while it can not be reached or is busy;
    `headers` are sent with each request, such as one that a proxy asks for. May be used by several
    threads at once.

    `api_key` says who is asking (or the environment's `TALLY_API_KEY`). For a master that speaks TLS, `https://…`:
    `ca` is a file with the authorities that its certificate must be of (or `TALLY_TLS_CA`; else the system's are
    asked), and `cert` a file with a certificate to show and its key, or a pair of files. `verify=False` trusts
    whoever answers, for tests; `ssl_context` takes the place of all of these."""

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        retry_for: float = 60.0,
        headers: Optional[Mapping[str, str]] = None,
        api_key: Optional[str] = None,
        ca: Optional[File] = None,
        cert: Union[None, File, Tuple[File, File]] = None,
        verify: bool = True,
        ssl_context: Optional[ssl.SSLContext] = None,
    ):
        if ssl_context is None:
            ssl_context = context(url, ca, cert, verify)
        elif ca is not None or cert is not None or not verify:
            raise ValueError("give ssl_context, or ca, cert and verify")
        self._transport = Transport(url, retry_for, authorized(headers, api_key), ssl_context)

    def __repr__(self) -> str:
        return f"tally.Client({self.url!r})"

    @property
    def url(self) -> str:
        """Where the master is."""
        return self._transport.url

    @property
    def tables(self) -> Tables:
        """The tables of the master: `client.tables["products"]`, `client.tables.create(…)`."""
        return Tables(self._transport)

    def submit(
        self,
        source: Source,
        *,
        name: Optional[str] = None,
        priority: Optional[str] = None,
        keep_input: bool = False,
        key: Optional[str] = None,
        progress: Union[None, bool, OnSent] = None,
        **spec: Unpack[SpecOptions],
    ) -> Job:
        """Submits an input (a path, bytes, a file opened with `rb`, or an iterable of bytes; plain, gzip or
        zstd) and gives the job that counts it, once all of it has arrived.

        What is computed is said as `SpecOptions` lists it: `preset=`, or `group_by=` with `sum=`, `min=`,
        `max=`, `count=`, or `spec=`; with `order=`, `delimiter=` and `max_rejects=`.

        A connection that breaks is no harm: the submission is repeated under a key of its own (or `key`),
        and counted once. An input that can not be read twice, such as a pipe, can not be repeated.

        `progress` is told the bytes sent, and how many there are; `True` shows it on stderr."""
        wanted = spec_of(spec)
        file = input_of(source)
        name = name or file.name
        file.on_sent = show_sent(name or "input") if progress is True else progress or None
        query = common(name, priority, keep_input)
        return Job(self._transport, upload(self._transport, "/api/v1/jobs", file, wanted, query, key))

    def submit_from(
        self,
        *,
        url: Optional[str] = None,
        path: Optional[str] = None,
        name: Optional[str] = None,
        priority: Optional[str] = None,
        keep_input: bool = False,
        result_path: Optional[str] = None,
        key: Optional[str] = None,
        **spec: Unpack[SpecOptions],
    ) -> Job:
        """Has the master fetch an input by itself, from a URL or from a path on its own machine, where its
        operator allows that. `result_path` is where it is to write the result on its machine."""
        if (url is None) == (path is None):
            raise ValueError("give one of: url, path")
        wanted: dict[str, Any] = {"source": {"url": url} if path is None else {"path": path}}
        wanted["spec"] = spec_of(spec).to_json()
        more = {"name": name, "priority": priority, "result_path": result_path}
        wanted.update({what: value for what, value in more.items() if value is not None})
        if keep_input:
            wanted["keep_input"] = True
        headers = {"Idempotency-Key": key or str(uuid.uuid4()), "Content-Type": "application/json"}
        body = Bytes(json.dumps(wanted).encode())
        return Job(self._transport, submit(self._transport, "/api/v1/jobs", body, [], headers))

    @overload
    def count(
        self, source: Source, *, out: None = None, name: Optional[str] = None, priority: Optional[str] = None,
        timeout: Optional[float] = None, progress: Union[None, bool, OnProgress] = None, delete: bool = False,
        **spec: Unpack[SpecOptions],
    ) -> Rows: ...
    @overload
    def count(
        self, source: Source, *, out: Path, name: Optional[str] = None, priority: Optional[str] = None,
        timeout: Optional[float] = None, progress: Union[None, bool, OnProgress] = None, delete: bool = False,
        **spec: Unpack[SpecOptions],
    ) -> JobView: ...
    def count(
        self, source: Source, *, out: Optional[Path] = None, name: Optional[str] = None,
        priority: Optional[str] = None, timeout: Optional[float] = None,
        progress: Union[None, bool, OnProgress] = None, delete: bool = False, **spec: Unpack[SpecOptions],
    ) -> Union[Rows, JobView]:
        """Submits an input, waits, and gives the rows of the result as they arrive; or writes them to the
        file `out` and gives the job. `timeout` is for the wait. `delete` removes the job when its result
        has been read or written. Raises `JobFailed` where there is no result."""
        sent = progress if isinstance(progress, bool) else None
        job = self.submit(source, name=name, priority=priority, progress=sent, **spec)
        ended = job.wait(timeout, progress=progress)
        if out is None:
            return Rows(job.open(), ended.spec, job.delete if delete else None)
        job.result(out)
        if delete:
            job.delete()
        return ended

    def job(self, id: str) -> Job:
        """The job of an id, as it is now. Raises `TallyError` of the kind `not-found` where there is none."""
        job = Job(self._transport, id)
        job.refresh()
        return job

    def jobs(
        self,
        *,
        state: Words = (),
        priority: Words = (),
        name: Optional[str] = None,
        opened_from: Optional[datetime.datetime] = None,
        opened_before: Optional[datetime.datetime] = None,
        sort: Optional[str] = None,
        order: Optional[str] = None,
    ) -> Iterator[Job]:
        """The jobs, newest first, page by page as they are asked for: those in one of the states, of one of
        the priorities, with `name` in their name, opened in a span of time. `sort` is `opened`, `ended`,
        `name` or `size`, `order` is `desc` or `asc`."""
        given = {
            "state": _words(state),
            "priority": _words(priority),
            "name": name,
            "opened_from": _time(opened_from),
            "opened_before": _time(opened_before),
            "sort": sort,
            "order": order,
        }
        query: Pairs = [(what, value) for what, value in given.items() if value]
        query.append(("limit", str(PAGE)))
        return self._pages(query)

    def _pages(self, query: Pairs) -> Iterator[Job]:
        cursor: Optional[str] = None
        while True:
            page = self._transport.json(
                "GET", "/api/v1/jobs", query=query + ([("cursor", cursor)] if cursor else [])
            )
            for one in page["jobs"]:
                seen = view(JobView, one)
                yield Job(self._transport, seen.id, seen)
            cursor = page.get("next")
            if not cursor:
                return

    def slaves(self) -> list[SlaveView]:
        """The slaves that are joined."""
        return [view(SlaveView, one) for one in self._transport.json("GET", "/api/v1/slaves")["slaves"]]

    def set_aside(self) -> list[SetAsideView]:
        """The slaves that have lied and are not let in."""
        return [view(SetAsideView, one) for one in self._transport.json("GET", "/api/v1/slaves").get("set_aside", [])]

    def health(self) -> dict[str, Any]:
        """The master's own word on itself: `status`, `version`, `slaves`, `workers`, `jobs`."""
        told: dict[str, Any] = self._transport.json("GET", "/health")
        return told

    def preflight(self, source: Source, **spec: Unpack[SpecOptions]) -> Preflight:
        """What the beginning of an input shows, and what is to be expected of all of it, before it is
        counted. Takes the same options as `submit`, and an input that can be read again."""
        file = input_of(source)
        if not file.again:
            raise ValueError("an input that can be read only once can not be looked at before it is counted")
        pairs = spec_of(spec).to_query()
        if pairs is None:
            raise ValueError("a spec that only JSON can say, such as for a name with a comma, can not be tried")
        query = [("bytes", str(file.length)), *pairs]
        first = Bytes(file.first(PREFLIGHT_BYTES))
        return view(Preflight, self._transport.json("POST", "/api/v1/preflight", query=query, body=first))


def _words(words: Words) -> str:
    return words if isinstance(words, str) else ",".join(words)


def _time(time: Optional[datetime.datetime]) -> Optional[str]:
    """RFC 3339 in UTC, to the millisecond; a time without a zone is the local one, as Python has it."""
    if time is None:
        return None
    utc = time.astimezone(datetime.timezone.utc)
    return utc.isoformat(timespec="milliseconds").replace("+00:00", "Z")



