"""Whether two results are the same."""

import csv
import filecmp
import itertools
from pathlib import Path

import measure


def must_be_equal(expected: Path, found: Path, who: str) -> None:
    """Raises where two of Tally's results differ in any byte."""
    if not filecmp.cmp(expected, found, shallow=False):
        raise measure.Failed(f"{who}: {found} differs from {expected}\n{difference(expected, found)}")


def must_agree(expected: Path, found: Path, who: str) -> None:
    """As `must_be_equal`, but quotes may be where they are not needed: peers quote as they like."""
    if not filecmp.cmp(expected, found, shallow=False) and (where := difference(expected, found)):
        raise measure.Failed(f"{who}: {found} disagrees with {expected}\n{where}")


def difference(expected: Path, found: Path) -> str:
    """The first record that is not the same; empty where there is none."""
    with open(expected, newline="") as left, open(found, newline="") as right:
        pairs = itertools.zip_longest(csv.reader(left), csv.reader(right))
        for number, (a, b) in enumerate(pairs):
            if a != b:
                return f"record {number}: {a} is not {b}"
    return ""
