"""The files to be counted, made by `tally generate`."""

import re
import shutil
import subprocess
from pathlib import Path

import measure
from kinds import Kind

UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}
ROOM = 4
"""A file, its copy in the master's spool, and two results or so; in sizes of the file."""


def size_bytes(size: str) -> int:
    """What a size such as 300MB comes to."""
    match = re.fullmatch(r"([0-9.]+)\s*([A-Za-z]*)", size)
    if not match or match[2].upper() not in UNITS:
        raise measure.Failed(f"{size!r} is not a size such as 300MB")
    return int(float(match[1]) * UNITS[match[2].upper()])


def generate(binary: Path, kind: Kind, size: str, work: Path) -> tuple[Path, int]:
    """Makes a file anew: it is quick, and an older generator's would not do. Gives its rows, too."""
    need, free = ROOM * size_bytes(size), shutil.disk_usage(work).free
    if free < need:
        raise measure.Failed(f"{size} need {need / 1e9:.1f} GB on the disk, and {free / 1e9:.1f} GB are free")
    path = work / f"{kind.name}-{size}.csv"
    command = [binary, "generate", "--kind", kind.shape or kind.name, "--size", size, "-o", path]
    ran = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if ran.returncode != 0:
        raise measure.Failed(f"tally generate\n{ran.stderr}")
    rows = re.search(r"(\d+) rows", ran.stdout + ran.stderr)
    return path, int(rows[1]) if rows else 0
