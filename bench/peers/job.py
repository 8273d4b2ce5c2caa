"""What a peer is asked to do, as its script gets it: python with_NAME.py JOB, where JOB is JSON.

A script loads its engine, calls `begin` when that is ready, and `end` when the result is on disk.
"""

import json
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path


@dataclass
class Job:
    """A query over one CSV file with a header."""

    source: str
    target: str
    scratch: str
    """A folder for what does not fit into memory; it exists and is empty."""
    threads: int
    memory: int
    """Bytes that all processes together may use."""
    columns: list[tuple[str, str]]
    """Names and types of all columns of the file, in order: text, date or integer."""
    keys: list[str]
    """Columns to group by and to sort by."""
    sums: dict[str, str]
    """Columns to sum, and how to name the sums."""
    count: str | None
    """How to name the number of records of each group, where it is wanted."""
    newlines: bool
    """Whether quoted fields hold line breaks."""

    def types(self, names: dict) -> dict:
        """Every column's type, in an engine's words for text, date and integer."""
        return {column: names[kind] for column, kind in self.columns}

    def used(self) -> list[str]:
        """The columns that the query needs."""
        return [*self.keys, *self.sums]

    def select(self, quote: str = '"') -> str:
        """What SQL selects, up to FROM."""

        def name(column: str) -> str:
            return f"{quote}{column}{quote}"

        parts = [name(key) for key in self.keys]
        parts += [f"sum({name(column)}) AS {name(alias)}" for column, alias in self.sums.items()]
        parts += [f"count(*) AS {name(self.count)}"] if self.count else []
        return ", ".join(parts)

    def by(self, quote: str = '"') -> str:
        """The keys, for GROUP BY and ORDER BY."""
        return ", ".join(f"{quote}{key}{quote}" for key in self.keys)

    def header(self) -> list[str]:
        """The result's columns."""
        return [*self.keys, *self.sums.values(), *([self.count] if self.count else [])]


def given() -> Job:
    """The job on the command line."""
    return Job(**json.loads(sys.argv[1]))


def text(string: str) -> str:
    """A string as SQL writes it."""
    return "'" + string.replace("'", "''") + "'"


def concatenate(job: Job, parts: list[Path]) -> None:
    """Writes the header and appends the parts, which are in order and have no headers."""
    with open(job.target, "wb") as out:
        out.write((",".join(job.header()) + "\n").encode())
        for part in parts:
            with part.open("rb") as file:
                shutil.copyfileobj(file, out, 1 << 20)


def begin() -> float:
    """Call it when the engine is loaded and its threads or processes are up."""
    return time.perf_counter()


def end(started: float, note: str = "") -> None:
    """Tells the benchmark how long the query itself took, and what a reader should know."""
    print(json.dumps({"query": time.perf_counter() - started, "note": note}), flush=True)
