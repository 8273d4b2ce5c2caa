"""What a command took, with all processes that it started: wall time, CPU seconds, peak memory.

Memory is resident memory (RSS), read from /proc every 20 ms and added up over all processes; pages that
several of them share count for each. Proportional shares (PSS) would cost the contender: for those, the
kernel walks all its pages.
"""

import contextlib
import os
import signal
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
INTERVAL_SECONDS = 0.02
ADOPT_EVERY = 5
"""Looks from one search for new processes to the next: that is what costs most."""


@dataclass
class Sample:
    """One run of one contender."""

    wall: float
    """Seconds from the command's start to its end."""
    cpu: float
    """User and system seconds of all processes together."""
    peak: int
    """Most resident bytes of all processes together at a time."""
    anonymous: int
    """The same without pages of files, such as a file that is mapped to be read."""
    peaks: dict[str, int]
    """Peak resident bytes of each process that has a name here."""
    query: float | None = None
    """Seconds of the query alone, without the engine's start; peers tell it."""
    note: str = ""
    """What a reader should know about this run; peers tell it."""


@dataclass
class Limits:
    """What a contender may take before it is ended."""

    seconds: float
    memory: int


class Failed(Exception):
    """A command did not do what it should."""


@dataclass
class Seen:
    """A process at the last look: its CPU seconds, and its memory in bytes."""

    cpu: float
    resident: int
    anonymous: int


def look(pid: int) -> Seen | None:
    """Nothing where the process has gone."""
    try:
        cpu = cpu_seconds(pid)
        _, resident, shared, *_ = proc(pid, "statm").split()
    except OSError:
        return None
    return Seen(cpu, int(resident) * PAGE, (int(resident) - int(shared)) * PAGE)


def proc(pid: int, name: str) -> bytes:
    """What the kernel tells of a process."""
    with open(f"/proc/{pid}/{name}", "rb", buffering=0) as file:
        return file.read()


def stat(pid: int) -> list[bytes]:
    # The name, in parentheses, may hold spaces; the fields after it do not.
    return proc(pid, "stat").rsplit(b")", 1)[1].split()


def cpu_seconds(pid: int) -> float:
    """CPU seconds that a process that still runs has taken so far."""
    fields = stat(pid)
    return (int(fields[11]) + int(fields[12])) / TICKS


def forget_peak(pid: int) -> None:
    """Lets a process's peak memory begin anew at what it holds now."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def peak_bytes(pid: int) -> int:
    """Peak resident bytes of a process that still runs; 0 where it has gone."""
    try:
        status = proc(pid, "status")
    except OSError:
        return 0
    _, _, peak = status.partition(b"VmHWM:")
    return int(peak.split()[0]) * 1024 if peak else 0


def running() -> set[int]:
    """All processes."""
    return {int(name) for name in os.listdir("/proc") if name.isdigit()}


@dataclass
class Watch:
    """Looks at a process, its descendants and some that run all the time, until it is told to stop."""

    root: int
    others: set[int]
    """What ran before the command."""
    beside: list[int]
    limits: Limits
    cpu: dict[int, float] = field(default_factory=dict)
    """CPU seconds of each of the command's processes, at the last look."""
    peak: int = 0
    anonymous: int = 0
    root_peak: int = 0
    ended_for: str = ""
    """Why the command was ended before its time."""

    def __post_init__(self) -> None:
        self._known = set(self.others)
        self._tree = {self.root}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ends the watching, and whatever the command has left running."""
        self._stop.set()
        self._thread.join()
        self._adopt()
        self.kill(self._tree - {self.root})  # the root has ended, and its number is free for others

    def kill(self, pids: set[int]) -> None:
        """Ends processes, whatever state they are in."""
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _run(self) -> None:
        deadline = time.monotonic() + self.limits.seconds
        looks = 0
        while not self._stop.wait(INTERVAL_SECONDS):
            if looks % ADOPT_EVERY == 0:
                self._adopt()
            looks += 1
            self._add_up()
            if self.peak > self.limits.memory:
                self.ended_for = f"more than {self.limits.memory / 1e6:,.0f} MB of memory"
            if time.monotonic() > deadline:
                self.ended_for = f"more than {self.limits.seconds:.0f} s"
            if self.ended_for:
                self._adopt()
                self.kill(self._tree)

    def _adopt(self) -> None:
        """Finds descendants among the processes that are new since the last look."""
        pids = running()
        for pid in sorted(pids - self._known - self._tree):
            try:
                parent, _, session = (int(number) for number in stat(pid)[1:4])
            except OSError:
                continue
            # The command has a session of its own, so that orphans are found, too.
            if parent in self._tree or session == self.root:
                self._tree.add(pid)
        self._known |= pids

    def _add_up(self) -> None:
        resident = anonymous = 0
        for pid in [*self._tree, *self.beside]:
            seen = look(pid)
            if seen is None:
                self._tree.discard(pid)
            else:
                resident += seen.resident
                anonymous += seen.anonymous
                if pid in self._tree:
                    self.cpu[pid] = seen.cpu
        self.root_peak = max(self.root_peak, peak_bytes(self.root))
        # The kernel's own account of the one process has no gaps of 20 ms.
        self.peak = max(self.peak, resident, self.root_peak)
        self.anonymous = max(self.anonymous, anonymous)


def run(command: list, name: str, limits: Limits, beside: dict[str, int] | None = None) -> tuple[Sample, str]:
    """Runs a command to its end; gives what it took and what it wrote to standard output.

    `beside` are processes that work for it, by name: their memory and CPU seconds are added.
    """
    command = [str(part) for part in command]
    beside = beside or {}
    before = {pid: cpu_seconds(pid) for pid in beside.values()}
    for pid in beside.values():
        forget_peak(pid)
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as errors:
        others = running()
        start = time.perf_counter()
        process = subprocess.Popen(command, stdout=out, stderr=errors, start_new_session=True)
        watch = Watch(process.pid, others, list(beside.values()), limits)
        try:
            _, status, usage = os.wait4(process.pid, 0)
            wall = time.perf_counter() - start
            process.returncode = os.waitstatus_to_exitcode(status)
        except BaseException:
            process.kill()
            process.wait()
            raise
        finally:
            watch.stop()
        out.seek(0)
        errors.seek(0)
        printed, said = (file.read().decode(errors="replace") for file in (out, errors))
    if watch.ended_for:
        raise Failed(f"took {watch.ended_for}, and was ended")
    if process.returncode != 0:
        raise Failed(f"exit code {process.returncode}\n{printed}{said}")
    # Some children are waited for by nobody: then the last look at them counts.
    cpu = max(usage.ru_utime + usage.ru_stime, sum(watch.cpu.values()))
    peaks = {name: watch.root_peak}
    for other, pid in beside.items():
        cpu += cpu_seconds(pid) - before[pid]
        peaks[other] = peak_bytes(pid)
    return Sample(wall, cpu, watch.peak, watch.anonymous, peaks), printed
