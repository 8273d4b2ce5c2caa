"""Medians and ratios of samples."""

import statistics

from rounds import Result, Results

ENGINES = ["duckdb", "polars", "datafusion", "chdb", "pyarrow", "dask", "spark"]


def median(result: Result, name: str) -> float:
    """The median of one figure of all samples."""
    return statistics.median(getattr(sample, name) for sample in result.samples)


def times(base: Result, result: Result) -> float:
    """How many times as fast as `base`: the median over the rounds, whose runs met the same machine."""
    return statistics.median(a.wall / b.wall for a, b in zip(base.samples, result.samples))


def times_query(base: Result, result: Result) -> float | None:
    """As `times`, without the start of the base's engine; nothing where that is not known."""
    if any(sample.query is None for sample in base.samples):
        return None
    return statistics.median(a.query / b.wall for a, b in zip(base.samples, result.samples))


def share(base: Result, result: Result) -> float:
    """Peak memory as a share of the base's."""
    return median(result, "peak") / median(base, "peak")


def fastest(results: Results, keys: list[str]) -> Result | None:
    """The fastest of some contenders; nothing where none has a sample."""
    measured = [results[key] for key in keys if key in results and results[key].samples]
    return min(measured, key=lambda result: median(result, "wall"), default=None)
