"""Contenders taking turns on one file."""

import os
import sys
from dataclasses import dataclass, field
from pathlib import Path

import compare
import measure
from kinds import Kind


@dataclass
class Result:
    """What one contender has done with one file."""

    label: str
    ours: bool
    samples: list[measure.Sample] = field(default_factory=list)
    failed: str = ""
    """The last line of what it said when it failed; then it is not run again."""


Results = dict[str, Result]
"""By the contenders' keys."""


def play(contenders: list, kind: Kind, source: Path, runs: int, patience: float) -> tuple[Results, int]:
    """Runs each contender once a round, so that a machine whose speed drifts is the same for all.

    The first result becomes the reference, which the others must agree with. Gives the number of groups,
    too. A contender that has taken more than `patience` seconds in all is not run again.
    """
    results = {contender.key: Result(contender.label, contender.ours) for contender in contenders}
    reference = compare.Reference(source.with_suffix(".reference"))
    target = source.with_suffix(".totals")
    reference.path.unlink(missing_ok=True)
    try:
        for number in range(1, runs + 1):
            for contender in contenders:
                result = results[contender.key]
                if not result.failed and sum(sample.wall for sample in result.samples) <= patience:
                    turn(contender, result, kind, source, reference, target, number)
        groups = compare.records(reference.path, kind.newlines) if reference.path.exists() else 0
    finally:
        reference.path.unlink(missing_ok=True)
        target.unlink(missing_ok=True)
    return results, groups


def turn(contender, result: Result, kind: Kind, source: Path, reference, target: Path, number: int) -> None:
    """One run of one contender; its failure is its own."""
    target.unlink(missing_ok=True)
    os.sync()  # nobody pays for what another has left to be written
    try:
        sample = contender.count(kind, source, target)
        check(contender, reference, target)
    except (measure.Failed, OSError, ValueError, LookupError) as error:
        result.failed = last_line(error)
        say(source, number, f"{contender.label} failed: {error}")
    else:
        result.samples.append(sample)
        say(source, number, f"{contender.label} {sample.wall:.2f} s, {sample.peak / 1e6:.0f} MB")


def check(contender, reference: compare.Reference, target: Path) -> None:
    """Tally's results are the same bytes, whoever of it has counted."""
    if not reference.path.exists():
        target.rename(reference.path)
    elif contender.ours:
        reference.must_equal(target)
    else:
        reference.must_agree(target)


def last_line(error: Exception) -> str:
    """What an error comes to."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__


def say(source: Path, number: int, what: str) -> None:
    print(f"{source.stem}, run {number}: {what}", file=sys.stderr, flush=True)
