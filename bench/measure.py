"""What a process took: wall time, CPU seconds, peak memory."""

import os
import re
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Sample:
    """One run of one contender."""

    wall: float
    """Seconds."""
    cpu: float
    """User and system seconds of all processes together."""
    peaks: dict[str, int]
    """Peak resident bytes of each process."""


class Failed(Exception):
    """A command did not do what it should."""


def run(command: list, name: str) -> tuple[Sample, str]:
    """Runs a command to its end; gives what it took and what it printed."""
    command = [str(part) for part in command]
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        printed = process.stdout.read().decode(errors="replace")
        _, status, usage = os.wait4(process.pid, 0)
    except BaseException:
        process.kill()
        process.wait()
        raise
    wall = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise Failed(f"{' '.join(command)} gave {process.returncode}:\n{printed}")
    cpu = usage.ru_utime + usage.ru_stime
    return Sample(wall, cpu, {name: usage.ru_maxrss * 1024}), printed


def cpu_seconds(pid: int) -> float:
    """CPU seconds that a process that still runs has taken so far."""
    # The name, in parentheses, may hold spaces; the fields after it do not.
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def forget_peak(pid: int) -> None:
    """Lets a process's peak memory begin anew at what it holds now."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def peak_bytes(pid: int) -> int:
    """Peak resident bytes of a process that still runs."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status).group(1)) * 1024
