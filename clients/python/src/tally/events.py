"""Server-sent events: a job as it goes on, told by the master as it happens, and asked for where the master
tells nothing."""

from __future__ import annotations

import json
import socket
import time
from typing import Any, Iterator, NamedTuple, Optional

from .errors import Problem, TallyError
from .transport import LATER, Answer, Broken, Patience, Transport
from .views import JobView, view

#: Seconds of silence after which a stream is taken to be broken: the master says something every 15.
STREAM_SILENCE = 45.0

#: Seconds between two questions, at first and in the end, where the master tells nothing by itself.
POLL_FIRST, POLL_LAST = 0.1, 2.0

#: Longest line of a stream, in bytes.
MAX_LINE = 64 << 20


class Event(NamedTuple):
    """An event of a stream."""

    name: str
    data: str
    id: Optional[str]


class Over(Exception):
    """The time is over that there was for waiting."""


def events(answer: Answer, deadline: Optional[float] = None) -> Iterator[Event]:
    """The events of a stream up to its end. Raises what a broken connection raises, and `Over`."""
    name, last = "", None
    data: list[str] = []
    while True:
        patience = STREAM_SILENCE
        if deadline is not None:
            patience = min(patience, deadline - time.monotonic())
            if patience <= 0:
                raise Over
        answer.patience(patience)
        try:
            line = answer.response.readline(MAX_LINE)
        except socket.timeout:
            if deadline is not None and time.monotonic() >= deadline:
                raise Over from None
            raise
        if not line:
            return
        text = line.decode("utf-8", "replace").rstrip("\r\n")
        if not text:
            if data:
                yield Event(name or "message", "\n".join(data), last)
            name, data = "", []
            continue
        key, _, value = text.partition(":")
        value = value[1:] if value.startswith(" ") else value
        if key == "event":
            name = value
        elif key == "data":
            data.append(value)
        elif key == "id":
            last = value


def watch(transport: Transport, job: str, deadline: Optional[float]) -> Iterator[JobView]:
    """The job now, and at each change, up to its end. Goes on by itself after broken connections and
    restarts of the master. Raises `TimeoutError` at `deadline`."""
    try:
        yield from _watch(transport, job, deadline)
    except Over:
        message = f"job {job} has not ended in the time that there was for it"
        raise TimeoutError(message) from None


def _watch(transport: Transport, job: str, deadline: Optional[float]) -> Iterator[JobView]:
    patience, last = Patience(transport.retry_for), None
    path = f"/api/v1/jobs/{job}/events"
    while True:
        headers = {"Accept": "text/event-stream", **({"Last-Event-ID": last} if last else {})}
        hint, failure = 0.0, TallyError("the master ended the stream")
        try:
            _check_time(deadline)
            with transport.once("GET", path, headers=headers, silence=STREAM_SILENCE) as answer:
                if answer.status == 200 and answer.header("content-type").startswith("text/event-stream"):
                    for event in events(answer, deadline):
                        patience.worked()
                        last = event.id or last
                        found = _job(event, job)
                        if found is not None:
                            yield found
                            if found.ended:
                                return
                elif answer.status in LATER:
                    failure, hint = answer.refused(), answer.retry_after()
                else:
                    # 204: it has ended. Another answer: a master without events, or none with that job.
                    yield from _poll(transport, job, deadline)
                    return
        except Broken as error:
            failure = transport.unreachable(error)
        if not patience.wait(hint, deadline):
            raise failure


def _job(event: Event, job: str) -> Optional[JobView]:
    """The job that an event tells of; `None` where it is of another kind, that a newer master has."""
    if event.name == "deleted":
        problem = Problem("/docs/http.md#deleted", "The job is gone", 410, f"job {job} was deleted", job)
        raise TallyError.of(problem)
    if event.name not in ("job", "end"):
        return None
    data: Any = json.loads(event.data)
    return view(JobView, data)


def _poll(transport: Transport, job: str, deadline: Optional[float]) -> Iterator[JobView]:
    pause, before = POLL_FIRST, None
    while True:
        found = view(JobView, transport.json("GET", f"/api/v1/jobs/{job}"))
        if found != before:
            yield found
        if found.ended:
            return
        before = found
        _check_time(deadline)
        left = pause if deadline is None else min(pause, max(0.0, deadline - time.monotonic()))
        time.sleep(left)
        pause = min(POLL_LAST, pause * 1.5)


def _check_time(deadline: Optional[float]) -> None:
    if deadline is not None and time.monotonic() >= deadline:
        raise Over
