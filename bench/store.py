"""Every sample, as JSON: target/bench/results.json and growth.json."""

import dataclasses
import json
import os
import platform
from pathlib import Path

import measure
from rounds import Result, Results


def machine() -> str:
    """What the figures were measured on."""
    cpu = platform.machine()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            cpu = line.partition(":")[2].strip()
            break
    return f"{cpu}, {os.cpu_count()} cores, {memory() / 1e9:.0f} GB, {platform.system()}"


def memory() -> int:
    """Bytes of the machine."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def read(path: Path) -> dict:
    """What was written before; empty where nothing was, or by an older benchmark."""
    try:
        kept = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return kept if kept.get("format") == 2 else {}


def write(path: Path, kept: dict) -> None:
    path.write_text(json.dumps(kept | {"format": 2}, indent=1) + "\n")


def pack(results: Results) -> dict:
    return {key: dataclasses.asdict(result) for key, result in results.items()}


def unpack(kept: dict) -> Results:
    results = {}
    for key, fields in kept.items():
        samples = [measure.Sample(**sample) for sample in fields["samples"]]
        results[key] = Result(**(fields | {"samples": samples}))
    return results
