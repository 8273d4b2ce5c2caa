"""Files that the master sends: streamed, taken up again where they broke off, and checked."""

from __future__ import annotations

import hashlib
import io
import os
import re
import tempfile
from typing import BinaryIO, Optional

from .errors import TallyError
from .source import PIECE
from .transport import SILENCE, Answer, Broken, Patience, Query, Transport

_SHA256 = re.compile(r'"([0-9a-f]{64})"')


class Download(io.RawIOBase):
    """A file as it arrives. When the connection breaks it goes on behind what has arrived; when the file has
    changed meanwhile, or has not the SHA-256 that the master says it has, reading it fails."""

    def __init__(self, transport: Transport, path: str, query: Query, accept: str):
        self._transport, self._path, self._query = transport, path, list(query)
        self._headers = {"Accept": accept}
        self._patience = Patience(transport.retry_for)
        self._at = 0
        self._answer = self._open()
        #: What kind of file it is.
        self.content_type = self._answer.header("content-type").partition(";")[0].strip()
        self._etag = self._answer.header("etag")
        self._length = self._size(self._answer)
        known = _SHA256.fullmatch(self._etag)
        self._expected = known.group(1) if known and self.content_type == "text/csv" else None
        self._hash = hashlib.sha256()

    @staticmethod
    def _size(answer: Answer) -> Optional[int]:
        length = answer.header("content-length")
        return int(length) if length.isdigit() else None

    def _open(self) -> Answer:
        return self._transport.ask("GET", self._path, query=self._query, headers=self._headers, silence=SILENCE)

    def _go_on(self) -> None:
        """Opens it again behind what has arrived."""
        headers = {**self._headers, "Range": f"bytes={self._at}-"}
        self._answer.close()
        answer = self._transport.ask(
            "GET", self._path, query=self._query, headers=headers, expect=(200, 206), silence=SILENCE
        )
        if answer.header("etag") != self._etag:
            answer.close()
            raise TallyError("the file changed while it was read; read it once more")
        self._answer = answer
        if answer.status == 200:
            # One that is made on the way has no ranges: what was read before comes again.
            left = self._at
            while left > 0:
                skipped = answer.response.read(min(PIECE, left))
                if not skipped:
                    raise TallyError("the file is shorter than it was; read it once more")
                left -= len(skipped)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        view = memoryview(buffer).cast("B")  # type: ignore[arg-type]
        again = False
        while True:
            try:
                if again:
                    self._go_on()
                count = self._answer.response.readinto(view)
                short = count == 0 and len(view) > 0 and self._length is not None and self._at < self._length
                if not short:
                    break
                error: BaseException = ConnectionError(f"it ended after {self._at} of {self._length} bytes")
            except Broken as broken:
                error = broken
            if self._at == self._length:
                count = 0
                break
            if not self._patience.wait():
                raise self._transport.unreachable(error) from error
            again = True
        if count == 0 and len(view) > 0:
            self._check()
        if count:
            self._patience.worked()
        self._at += count
        if self._expected is not None:
            self._hash.update(view[:count])
        return count

    def _check(self) -> None:
        if self._expected is not None and self._hash.hexdigest() != self._expected:
            raise TallyError("what arrived is not what the master has: its SHA-256 is another; read it once more")

    def close(self) -> None:
        if not self.closed and hasattr(self, "_answer"):
            self._answer.close()
        super().close()


def buffered(download: Download) -> BinaryIO:
    """The same, read in large pieces."""
    return io.BufferedReader(download, PIECE)


def save(download: Download, path: str) -> None:
    """Writes it to a file: whole, or not at all. What is there is replaced."""
    folder = os.path.dirname(os.path.abspath(path))
    handle, part = tempfile.mkstemp(prefix=f".{os.path.basename(path)}.", suffix=".part", dir=folder)
    try:
        with os.fdopen(handle, "wb") as file, download:
            while True:
                piece = download.read(PIECE)
                if not piece:
                    break
                file.write(piece)
        # mkstemp lets nobody else read; a file of the user's has the rights that the user's files have.
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(part, 0o666 & ~mask)
        os.replace(part, path)
    except BaseException:
        os.unlink(part)
        raise
