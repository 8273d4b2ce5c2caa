"""Medians and ratios, for people (Markdown) and for programs (JSON)."""

import dataclasses
import json
import os
import platform
import statistics
from pathlib import Path

from measure import Sample

Samples = dict[str, list[Sample]]


def table(samples: Samples, base: str) -> str:
    """A Markdown table: medians, and how many times as fast as `base` each contender is."""
    lines = [
        f"| | wall s | × {base} | CPU s | peak memory, MB |",
        "|---|---:|---:|---:|---|",
    ]
    for name, runs in samples.items():
        wall, cpu = (statistics.median(getattr(run, key) for run in runs) for key in ("wall", "cpu"))
        ratio = speedup(samples[base], runs)
        lines.append(f"| {name} | {wall:.2f} | {ratio:.2f} | {cpu:.2f} | {peaks(runs)} |")
    return "\n".join(lines)


def speedup(base: list[Sample], runs: list[Sample]) -> float:
    """The median of the ratios within each round, whose runs met the same machine."""
    return statistics.median(a.wall / b.wall for a, b in zip(base, runs, strict=True))


def peaks(runs: list[Sample]) -> str:
    each = {name: statistics.median(run.peaks[name] for run in runs) for name in runs[0].peaks}
    if len(each) == 1:
        return f"{next(iter(each.values())) / 1e6:.0f}"
    return ", ".join(f"{name} {peak / 1e6:.0f}" for name, peak in each.items())


def machine() -> str:
    """What the figures were measured on."""
    cpu = platform.machine()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            cpu = line.partition(":")[2].strip()
            break
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9
    return f"{cpu}, {len(os.sched_getaffinity(0))} cores, {memory:.0f} GB, {platform.system()}"


def write(path: Path, facts: dict, results: dict[str, Samples]) -> None:
    """Keeps every sample."""
    kinds = {
        kind: {name: [dataclasses.asdict(run) for run in runs] for name, runs in samples.items()}
        for kind, samples in results.items()
    }
    path.write_text(json.dumps(facts | {"results": kinds}, indent=1) + "\n")
