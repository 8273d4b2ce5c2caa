"""Whether two results are the same, in memory that does not grow with them."""

import csv
import filecmp
import hashlib
import itertools
import re
from pathlib import Path

import measure

CHUNK_BYTES = 4 << 20
NEEDLESS = re.compile(rb'(?<![^,\n])"([^",\r\n]*)"(?![^,\n])')
"""A field in quotes that it could do without."""


class Reference:
    """The result that all others must agree with."""

    def __init__(self, path: Path):
        self.path = path
        self._agreed: set[bytes] = set()
        """Hashes of results that are written otherwise, and mean the same."""

    def must_equal(self, found: Path) -> None:
        """Raises where any byte differs."""
        if not filecmp.cmp(self.path, found, shallow=False):
            raise measure.Failed(f"the result is wrong: {difference(self.path, found) or 'its bytes differ'}")

    def must_agree(self, found: Path) -> None:
        """Raises where any field differs, or the order: peers put quotes where they like."""
        if filecmp.cmp(self.path, found, shallow=False):
            return
        with found.open("rb") as file:
            hashed = hashlib.file_digest(file, "sha256").digest() if hasattr(hashlib, "file_digest") else None
        if hashed in self._agreed:
            return
        if not agree_without_quotes(self.path, found) and (where := difference(self.path, found)):
            raise measure.Failed(f"the result is wrong: {where}")
        if hashed:
            self._agreed.add(hashed)


def agree_without_quotes(expected: Path, found: Path) -> bool:
    """Whether `found` is `expected` with needless quotes; quick, and wrong only in saying no."""
    with expected.open("rb") as left, found.open("rb") as right:
        while lines := right.readlines(CHUNK_BYTES):
            plain = NEEDLESS.sub(rb"\1", b"".join(lines))
            if b'"' in plain or left.read(len(plain)) != plain:
                return False
        return not left.read(1)


def difference(expected: Path, found: Path) -> str:
    """The first record that is not the same; empty where there is none."""
    with open(expected, newline="") as left, open(found, newline="") as right:
        pairs = itertools.zip_longest(csv.reader(left), csv.reader(right))
        for number, (a, b) in enumerate(pairs):
            if a != b:
                return f"record {number} is {b}, not {a}"
    return ""


def records(path: Path, newlines: bool) -> int:
    """Records of a CSV, without its header."""
    if newlines:
        with open(path, newline="") as file:
            return sum(1 for _ in csv.reader(file)) - 1
    with path.open("rb") as file:
        return sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(CHUNK_BYTES), b"")) - 1
