"""Inputs on their way to the master: in one request where they are small, else so that they go on where they
broke off (the tus protocol). Either way under a key that the submission is known by, so that one that is
sent once more is never counted twice."""

from __future__ import annotations

import uuid
from typing import Iterable, Iterator, Mapping, Optional, Tuple

from .errors import TallyError
from .source import Input
from .spec import Pairs, Spec, spec_part
from .transport import LATER, SILENCE, UPLOAD_SILENCE, Answer, Body, Broken, Bytes, Patience, Transport

#: Inputs of at least so many bytes are sent so that they can go on where they broke off.
RESUMABLE = 16 << 20

_TUS = {"Tus-Resumable": "1.0.0"}


class Form(Body):
    """A form of a spec and a file."""

    def __init__(self, spec: Spec, file: Input):
        self.boundary = f"tally-{uuid.uuid4().hex}"
        dash = f"--{self.boundary}\r\n".encode()
        named = b'Content-Disposition: form-data; name="%s"'
        head = [dash, named % b"spec", b"\r\nContent-Type: application/json\r\n\r\n", spec_part(spec), b"\r\n"]
        head += [dash, named % b"file", b'; filename="input"\r\n']
        head += [b"Content-Type: application/octet-stream\r\n\r\n"]
        self._head, self._file = b"".join(head), file
        self._tail = f"\r\n--{self.boundary}--\r\n".encode()
        self.again = file.again
        if file.length is None:
            self.length = None
        else:
            self.length = len(self._head) + file.length + len(self._tail)

    def pieces(self) -> Iterator[bytes]:
        yield self._head
        yield from self._file.pieces()
        yield self._tail


def upload(transport: Transport, path: str, file: Input, spec: Optional[Spec], query: Pairs, key: Optional[str]) -> str:
    """Sends an input as a new job, or as a repair where `path` says so; gives the job's id. `spec` is
    `None` where the path says what is computed."""
    pairs = [] if spec is None else spec.to_query()
    jobs = path == "/api/v1/jobs"
    if key is None and jobs and pairs is not None and file.again and (file.length or 0) >= RESUMABLE:
        return _Resumable(transport, file, query + pairs).send()
    headers = {"Idempotency-Key": key or str(uuid.uuid4())}
    if pairs is not None:
        body: Body = file
        headers["Content-Type"] = "text/csv"
    else:
        assert spec is not None
        form = Form(spec, file)
        body = form
        headers["Content-Type"] = f"multipart/form-data; boundary={form.boundary}"
    return submit(transport, path, body, query + (pairs or []), headers)


def submit(transport: Transport, path: str, body: Body, query: Pairs, headers: Mapping[str, str]) -> str:
    """One submission, repeated under its key until it is answered."""
    patience = Patience(transport.retry_for)
    while True:
        hint = 0.0
        try:
            with transport.once(
                "POST", path, query=query, headers=headers, body=body, silence=UPLOAD_SILENCE
            ) as answer:
                if answer.status == 202:
                    return str(answer.json()["id"])
                failure, hint = answer.refused(), answer.retry_after()
            # The master may still believe in a connection that has broken here, or say that it broke off.
            again = answer.status in LATER or failure.kind in ("in-progress", "upload-broke-off")
            if not again:
                raise failure
        except Broken as error:
            failure = transport.unreachable(error)
            failure.__cause__ = error
        if not body.again or not patience.wait(hint):
            raise failure


class _Resumable:
    """An upload that goes on where it broke off."""

    def __init__(self, transport: Transport, file: Input, query: Pairs):
        self._transport, self._file, self._query = transport, file, query
        self._patience = Patience(transport.retry_for)
        self._length = file.length or 0

    def send(self) -> str:
        job = self._open()
        path, at = f"/api/v1/uploads/{job}", 0
        headers = {**_TUS, "Content-Type": "application/offset+octet-stream"}
        while at < self._length:
            headers["Upload-Offset"] = str(at)
            answer = self._try("PATCH", path, headers, self._file.from_byte(at), (204,), ("offset", "upload-broke-off"))
            if answer is not None and int(answer.header("upload-offset") or 0) >= self._length:
                return job
            after = self._whereabouts(path)
            if after > at:
                self._patience.worked()
            at = after
        return job

    def _open(self) -> str:
        """Opens the upload, once: a repeat whose first answer was lost finds what that has opened."""
        headers = {**_TUS, "Upload-Length": str(self._length), "Idempotency-Key": str(uuid.uuid4())}
        while True:
            try:
                answer = self._try("POST", "/api/v1/uploads", headers, Bytes(b""), (201,), ())
            except TallyError as error:
                if error.kind == "in-progress" and error.job is not None:
                    return error.job
                raise
            if answer is not None:
                return answer.header("location").rstrip("/").rpartition("/")[2]

    def _whereabouts(self, path: str) -> int:
        while True:
            answer = self._try("HEAD", path, _TUS, None, (200,), ())
            if answer is not None:
                return int(answer.header("upload-offset") or 0)

    def _try(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: Optional[Body],
        expect: Iterable[int],
        forgiven: Tuple[str, ...],
    ) -> Optional[Answer]:
        """One try; `None` where another may do better, and after a wait."""
        hint, query = 0.0, self._query if method == "POST" else []
        silence = UPLOAD_SILENCE if method == "PATCH" else SILENCE
        try:
            with self._transport.once(
                method, path, query=query, headers=headers, body=body, silence=silence
            ) as answer:
                if answer.status in expect:
                    return answer
                failure, hint = answer.refused(), answer.retry_after()
            if answer.status not in LATER and failure.kind not in forgiven:
                raise failure
        except Broken as error:
            failure = self._transport.unreachable(error)
            failure.__cause__ = error
        if not self._patience.wait(hint):
            raise failure
        return None


def common(name: Optional[str], priority: Optional[str], keep_input: bool) -> Pairs:
    """The parameters of a submission beside its spec."""
    pairs: Pairs = []
    if name is not None:
        pairs.append(("name", name))
    if priority is not None:
        pairs.append(("priority", priority))
    if keep_input:
        pairs.append(("keep_input", "true"))
    return pairs
