"""Where an input comes from: a path, bytes, an open file, or pieces of bytes as they come."""

from __future__ import annotations

import io
import os
from typing import BinaryIO, Callable, Iterable, Iterator, Optional, Union, cast

from .transport import Body

#: Bytes that are read and sent at a time.
PIECE = 1 << 20

#: What can be submitted.
Source = Union[str, "os.PathLike[str]", bytes, bytearray, memoryview, BinaryIO, Iterable[bytes]]

#: Is told the bytes that have been sent, and how many there are in all, where that is known.
OnSent = Callable[[int, Optional[int]], None]


class Input(Body):
    """An input. `from_byte` gives what is left of it behind its first bytes."""

    #: Its name for people.
    name: Optional[str] = None

    def __init__(self, on_sent: Optional[OnSent] = None):
        self.on_sent = on_sent

    def from_byte(self, offset: int) -> Input:
        """What is left of it."""
        raise NotImplementedError

    def first(self, size: int) -> bytes:
        """Its first bytes, of one that can be read again."""
        data = b""
        for piece in self.pieces():
            data += piece[: size - len(data)]
            if len(data) >= size:
                break
        return data

    def _told(self, pieces: Iterable[bytes], start: int = 0) -> Iterator[bytes]:
        sent = start
        for piece in pieces:
            yield piece
            sent += len(piece)
            if self.on_sent is not None:
                whole = None if self.length is None else start + self.length
                self.on_sent(sent, whole)


class File(Input):
    """A file, from a byte on: by its path, or open and seekable."""

    def __init__(self, file: Union[str, BinaryIO], start: int, end: int, base: int, on_sent: Optional[OnSent]):
        super().__init__(on_sent)
        self._file, self._start, self._end, self._base = file, start, end, base
        self.length = end - start

    def from_byte(self, offset: int) -> File:
        return File(self._file, self._base + offset, self._end, self._base, self.on_sent)

    def pieces(self) -> Iterator[bytes]:
        return self._told(self._read(), self._start - self._base)

    def _read(self) -> Iterator[bytes]:
        if isinstance(self._file, str):
            with open(self._file, "rb", buffering=0) as file:
                yield from self._part(cast(BinaryIO, file))
        else:
            yield from self._part(self._file)

    def _part(self, file: BinaryIO) -> Iterator[bytes]:
        file.seek(self._start)
        left = self._end - self._start
        while left > 0:
            piece = file.read(min(PIECE, left))
            if not piece:
                return
            left -= len(piece)
            yield piece


class Pieces(Input):
    """Pieces that come once: they can not be sent again."""

    again = False

    def __init__(self, pieces: Iterable[bytes], on_sent: Optional[OnSent]):
        super().__init__(on_sent)
        self._pieces: Optional[Iterable[bytes]] = pieces
        self.length = None

    def pieces(self) -> Iterator[bytes]:
        pieces, self._pieces = self._pieces, None
        if pieces is None:
            raise RuntimeError("the input has been read before, and can not be read again")
        return self._told(pieces)


def input_of(source: Source, on_sent: Optional[OnSent] = None) -> Input:
    """The input that `source` is."""
    if isinstance(source, (bytes, bytearray, memoryview)):
        data = bytes(source)
        return File(io.BytesIO(data), 0, len(data), 0, on_sent)
    if isinstance(source, (str, os.PathLike)):
        path = os.fspath(source)
        size = os.stat(path).st_size
        with open(path, "rb") as file:
            regular = file.seekable()
        # A pipe has a path, too.
        found: Input = File(path, 0, size, 0, on_sent) if regular else Pieces(_open(path), on_sent)
        found.name = os.path.basename(path)
        return found
    if isinstance(source, io.TextIOBase):
        raise TypeError("the file is open as text: open it with mode 'rb', so that its bytes are sent as they are")
    if hasattr(source, "read"):
        return _of_file(cast(BinaryIO, source), on_sent)
    if hasattr(source, "__iter__"):
        return Pieces(source, on_sent)
    raise TypeError(f"{type(source).__name__} is no input: give a path, bytes, a file or an iterable of bytes")


def _of_file(file: BinaryIO, on_sent: Optional[OnSent]) -> Input:
    name = getattr(file, "name", None)
    found: Input
    if getattr(file, "seekable", lambda: False)():
        start = file.tell()
        found = File(file, start, file.seek(0, os.SEEK_END), start, on_sent)
        file.seek(start)
    else:
        found = Pieces(_read(file), on_sent)
    if isinstance(name, str):
        found.name = os.path.basename(name)
    return found


def _open(path: str) -> Iterator[bytes]:
    with open(path, "rb") as file:
        yield from _read(file)


def _read(file: BinaryIO) -> Iterator[bytes]:
    while True:
        piece = file.read(PIECE)
        if not piece:
            return
        if not isinstance(piece, bytes):
            raise TypeError("the file gives text: open it with mode 'rb', so that its bytes are sent as they are")
        yield piece
