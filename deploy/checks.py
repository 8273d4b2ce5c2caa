"""What image-check.py and deb-check.py have in common: what has to come out, and how one waits for it."""

import csv
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

INPUT = Path(__file__).resolve().parent.parent / "examples" / "plays.csv"
# Seconds; a machine that builds something else at the same time is slow.
PATIENCE = 60.0


def expected() -> bytes:
    """The totals of the input, by other means."""
    totals: Counter[tuple[str, str]] = Counter()
    with INPUT.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            totals[row["Song"], row["Date"]] += int(row["Number of Plays"])
    rows = sorted(totals.items(), key=lambda row: (row[0][0].encode(), row[0][1]))
    with tempfile.TemporaryFile("w+", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["Song", "Date", "Total Number of Plays for Date"])
        writer.writerows((*key, total) for key, total in rows)
        file.flush()
        file.seek(0)
        return file.read().encode()


def compare(totals: bytes) -> None:
    if totals != expected():
        sys.exit("the totals are not those that Python has")
    print(f"{len(totals.splitlines()) - 1} totals, each as Python has it", flush=True)


def mount(*args: str) -> None:
    subprocess.run(["mount", *args], check=True)


def until(what: str, succeeds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not succeeds():
        if time.monotonic() > deadline:
            sys.exit(f"{what}: not within {PATIENCE:.0f} s")
        time.sleep(0.1)


def stop(**processes: subprocess.Popen) -> None:
    """Tells them to stop, one after the other: each has to end by itself, and well."""
    for name, process in processes.items():
        process.send_signal(signal.SIGTERM)
        if process.wait(timeout=PATIENCE) != 0:
            sys.exit(f"the {name} ended with {process.returncode} when it was told to stop")
    print(f"the {' and the '.join(processes)} stopped when they were told to", flush=True)


def inside(check: Callable[[], None]) -> None:
    """Runs this program once more in namespaces of its own, and `check` there: whatever happens, nothing is left
    behind, neither mounts nor processes."""
    if os.environ.get("TALLY_CHECK_INSIDE") == "1":
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        check()
        return
    namespaces = ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child"]
    env = os.environ | {"TALLY_CHECK_INSIDE": "1"}
    sys.exit(subprocess.run([*namespaces, sys.executable, *sys.argv], env=env, check=False).returncode)
