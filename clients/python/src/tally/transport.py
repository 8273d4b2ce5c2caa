"""Requests to the master, by the standard library alone. A connection for each request: a client may be
used by several threads at once. What can safely be repeated is, for as long as the client was told to."""

from __future__ import annotations

import http.client
import json
import random
import socket
import ssl
import time
from typing import Any, Iterable, Mapping, Optional, Tuple, Union
from urllib.parse import quote, urlencode, urlsplit

from .errors import Problem, TallyError, Unreachable

#: Seconds without a byte after which a connection is taken to be broken.
SILENCE = 60.0

#: Seconds that the master may take no byte of an upload, as it does while its disk is full.
UPLOAD_SILENCE = 600.0

#: Seconds before the first repeat, and the most before any.
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0

#: Statuses that say: not now.
LATER = frozenset({423, 429, 502, 503, 504})

#: Largest answer that is read as a whole, in bytes. Results and rejects are streamed instead.
MAX_ANSWER = 1 << 30

Query = Iterable[Tuple[str, str]]

#: What breaks when the master, or the way to it, does.
Broken = (OSError, http.client.HTTPException)


class Patience:
    """How long to go on trying since something last worked."""

    def __init__(self, seconds: float):
        self._seconds = seconds
        self._until: Optional[float] = None
        self._tries = 0

    def worked(self) -> None:
        """Something did."""
        self._until, self._tries = None, 0

    def wait(self, hint: float = 0.0, deadline: Optional[float] = None) -> bool:
        """Waits before the next try, no longer than until `deadline`; `False` where there is to be none."""
        now = time.monotonic()
        if self._until is None:
            self._until = now + self._seconds
        pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2**self._tries) * random.uniform(0.5, 1.0)
        pause = max(pause, min(hint, LONGEST_PAUSE))
        if now + pause > self._until:
            return False
        self._tries = min(self._tries + 1, 16)
        if deadline is not None:
            pause = min(pause, max(0.0, deadline - now))
        time.sleep(pause)
        return True


class Answer:
    """An answer whose body is still to be read."""

    def __init__(self, response: http.client.HTTPResponse, sock: Optional[socket.socket]):
        self.response = response
        self.status = response.status
        self._sock = sock

    def header(self, name: str) -> str:
        """A header; empty where there is none."""
        return self.response.getheader(name) or ""

    def patience(self, seconds: float) -> None:
        """How long a read may wait from now on."""
        if self._sock is not None:
            self._sock.settimeout(max(0.001, seconds))

    def close(self) -> None:
        """Ends the connection, whatever is still to come."""
        self.response.close()
        if self._sock is not None:
            self._sock.close()

    def __enter__(self) -> Answer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def read(self) -> bytes:
        """All of the body."""
        return self.response.read(MAX_ANSWER)

    def json(self) -> Any:
        """The body as JSON."""
        try:
            return json.loads(self.read())
        except ValueError as error:
            raise TallyError(f"the answer is no JSON: is that a Tally master? ({error})") from error

    def refused(self) -> TallyError:
        """The error that it is."""
        try:
            text = self.response.read(1 << 20)
        except Broken:
            text = b""
        if self.header("content-type").startswith("application/problem+json"):
            try:
                return TallyError.of(Problem.from_json(json.loads(text)))
            except (ValueError, TypeError, AttributeError):
                pass
        said = text[:200].decode("utf-8", "replace").strip()
        title = f"HTTP {self.status} {self.response.reason}"
        return TallyError.of(Problem("about:blank", title, self.status, said))

    def retry_after(self) -> float:
        """Seconds after which to try again, as the master wishes."""
        try:
            return float(self.header("retry-after"))
        except ValueError:
            return 0.0


class Body:
    """The bytes of a request: as often as they are asked for, where they can be read again."""

    #: How many there are; `None` where that is not known.
    length: Optional[int] = 0
    #: Whether they can be read again.
    again = True

    def pieces(self) -> Iterable[bytes]:
        """The bytes."""
        return ()


class Bytes(Body):
    """Bytes in memory."""

    def __init__(self, data: bytes):
        self._data = data
        self.length = len(data)

    def pieces(self) -> Iterable[bytes]:
        return (self._data,) if self._data else ()


class Transport:
    """The way to a master."""

    def __init__(
        self,
        url: str,
        retry_for: float,
        headers: Optional[Mapping[str, str]],
        context: Optional[ssl.SSLContext],
    ):
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise ValueError(f"{url!r} is no URL of a master, such as http://127.0.0.1:8080")
        self.url = url.rstrip("/")
        self.retry_for = retry_for
        self._tls = parts.scheme == "https"
        self._host, self._port = parts.hostname, parts.port
        self._base = parts.path.rstrip("/")
        self._headers = dict(headers or {})
        self._context = context

    def once(
        self,
        method: str,
        path: str,
        *,
        query: Query = (),
        headers: Optional[Mapping[str, str]] = None,
        body: Optional[Body] = None,
        silence: float = SILENCE,
    ) -> Answer:
        """One request, whatever the answer; raises what a broken connection raises."""
        connection = self._connection(silence)
        try:
            connection.putrequest(method, self._target(path, query), skip_accept_encoding=True)
            merged = {"Accept-Encoding": "identity", "Connection": "close", **self._headers, **(headers or {})}
            for name, value in merged.items():
                connection.putheader(name, value)
            _send(connection, body)
            sock = connection.sock
            return Answer(connection.getresponse(), sock)
        except BaseException:
            connection.close()
            raise

    def ask(
        self,
        method: str,
        path: str,
        *,
        query: Query = (),
        headers: Optional[Mapping[str, str]] = None,
        body: Optional[Body] = None,
        expect: Iterable[int] = (200,),
        silence: float = SILENCE,
    ) -> Answer:
        """A request that may safely be repeated, and is until it is answered. Raises what the master
        refuses it for, and `Unreachable`."""
        patience = Patience(self.retry_for)
        while True:
            hint = 0.0
            try:
                answer = self.once(method, path, query=query, headers=headers, body=body, silence=silence)
            except Broken as error:
                failure: TallyError = self.unreachable(error)
                failure.__cause__ = error
                if isinstance(error, ssl.SSLCertVerificationError):
                    # It will be no more trustworthy in a second.
                    raise failure
            else:
                if answer.status in expect:
                    return answer
                with answer:
                    failure, hint = answer.refused(), answer.retry_after()
                if answer.status not in LATER:
                    raise failure
            if (body is not None and not body.again) or not patience.wait(hint):
                raise failure

    def json(self, method: str, path: str, *, query: Query = (), body: Optional[Body] = None, **more: Any) -> Any:
        """The JSON that such a request is answered with."""
        patience = Patience(self.retry_for)
        while True:
            with self.ask(method, path, query=query, body=body, **more) as answer:
                try:
                    return answer.json()
                except Broken as error:
                    if not patience.wait():
                        raise self.unreachable(error) from error

    def unreachable(self, error: BaseException) -> Unreachable:
        """The error for a master that can not be reached."""
        said = str(error) or type(error).__name__
        return Unreachable(f"the master at {self.url} can not be reached, or broke off: {said}")

    def _target(self, path: str, query: Query) -> str:
        encoded = urlencode(list(query), quote_via=quote)
        return self._base + path + (f"?{encoded}" if encoded else "")

    def _connection(self, silence: float) -> Union[http.client.HTTPConnection, http.client.HTTPSConnection]:
        if self._tls:
            return http.client.HTTPSConnection(
                self._host, self._port, timeout=silence, context=self._context
            )
        return http.client.HTTPConnection(self._host, self._port, timeout=silence)


def _send(connection: http.client.HTTPConnection, body: Optional[Body]) -> None:
    """Sends the rest of a request. A master that answers before it has everything is listened to."""
    if body is None:
        connection.endheaders()
        return
    chunked = body.length is None
    if chunked:
        connection.putheader("Transfer-Encoding", "chunked")
    else:
        connection.putheader("Content-Length", str(body.length))
    connection.endheaders()
    sent = 0
    try:
        for piece in body.pieces():
            if chunked:
                connection.send(b"%x\r\n" % len(piece) + piece + b"\r\n" if piece else b"")
            else:
                connection.send(piece)
            sent += len(piece)
        if chunked:
            connection.send(b"0\r\n\r\n")
    except (BrokenPipeError, ConnectionResetError):
        # Its answer may lie there already: it says more than that it hung up.
        return
    if body.length is not None and sent != body.length:
        raise TallyError(f"the input changed while it was read: {sent} of {body.length} bytes were there")
