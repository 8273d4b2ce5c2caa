"""Whole clusters of real processes for pytest: a master and its slaves on free ports of the loopback,
with a data folder that goes with them. A pytest plugin (`-p tally_cluster`), so that the tests of the
interfaces, of the pages and of the client share it.

`cluster` is one for all tests of a file, `start_cluster` starts one for a test that kills and restarts
or wants flags of its own. Tests wait for conditions by `eventually`, and never for a time."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar

import pytest
import requests

ROOT = Path(__file__).resolve().parent.parent.parent

#: Seconds after which a condition is taken never to become true.
PATIENCE = 120.0

#: Seconds between two looks at a condition.
LOOK_EVERY = 0.02

T = TypeVar("T")


def binary() -> Path:
    """The `tally` under test: `TALLY_BIN`, else the debug build."""
    found = Path(os.environ.get("TALLY_BIN") or ROOT / "target" / "debug" / "tally")
    assert found.exists(), f"no {found}: run cargo build -p tally-cli first"
    return found


def environment() -> dict[str, str]:
    """This environment with nothing in it that `tally` would listen to."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TALLY_")}
    return {**kept, "NO_COLOR": "1", "HOME": "/nonexistent"}


def eventually(what: str, look: Callable[[], T], patience: float = PATIENCE) -> T:
    """What `look` gives, as soon as it is true; fails when it never is."""
    until = time.monotonic() + patience
    while True:
        found = look()
        if found:
            return found
        assert time.monotonic() < until, f"waited {patience:.0f} s in vain for {what}"
        time.sleep(LOOK_EVERY)


class Process:
    """A `tally` that runs until it is stopped. What it says is kept, and shown when a test fails."""

    def __init__(self, name: str, arguments: list[str]):
        self.name = name
        self.said: list[str] = []
        command = [str(binary()), *arguments]
        self.child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            text=True, errors="replace", env=environment(),
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.child.stderr is not None
        for line in self.child.stderr:
            self.said.append(line.rstrip("\n"))
            print(f"[{self.name}] {line}", end="", file=sys.stderr)

    def says(self, text: str) -> str:
        """The first line that holds `text`, once it has said it."""

        def look() -> str | None:
            ended = self.child.poll() is not None
            found = next((line for line in list(self.said) if text in line), None)
            assert found or not ended, f"{self.name} ended before it said {text!r}: {self.said}"
            return found

        return eventually(f"{self.name} to say {text!r}", look)

    def kill(self) -> None:
        """Kills it as a crash would, and waits for its end."""
        self.child.kill()
        self.child.wait()

    def stop(self) -> int:
        """Asks it to stop by SIGTERM, waits until it has, and gives its exit status."""
        self.child.send_signal(signal.SIGTERM)
        return self.child.wait(timeout=PATIENCE)

    def pause(self) -> None:
        """Stops it where it is, as a machine that hangs would."""
        self.child.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Lets it go on after `pause`."""
        self.child.send_signal(signal.SIGCONT)


class Cluster:
    """A master and its slaves. `http` and `grpc` are the master's URLs; `folder` is the cluster's own."""

    def __init__(
        self, slaves: int = 2, workers: int = 1, flags: tuple[str, ...] = (), slave_flags: tuple[str, ...] = ()
    ):
        self.folder = Path(tempfile.mkdtemp(prefix="tally-python-"))
        self.data_dir = self.folder / "data"
        self.flags, self.slave_flags = list(flags), list(slave_flags)
        self.slaves: list[Process] = []
        self.started = 0
        try:
            self._start_master("127.0.0.1:0", "127.0.0.1:0")
            for number in range(slaves):
                self.add_slave(workers)
                # One after the other, so that they are always listed in the same order.
                self.wait_for_slaves(number + 1)
        except BaseException:
            self.stop()
            raise

    def _start_master(self, grpc: str, http: str) -> None:
        where = ["--data-dir", str(self.data_dir), "--grpc", grpc, "--http", http]
        self.master = Process("master", ["master", *where, *self.flags])
        self.grpc = _url(self.master.says("gRPC on http"))
        self.http = _url(self.master.says("HTTP on http"))

    def add_slave(self, workers: int = 1) -> Process:
        """Starts one more slave, and does not wait until it has joined."""
        name = f"slave-{self.started}"
        self.started += 1
        arguments = ["slave", "--master", self.grpc, "--name", name, "--workers", str(workers)]
        self.slaves.append(Process(name, [*arguments, *self.slave_flags]))
        return self.slaves[-1]

    def wait_for_slaves(self, count: int) -> None:
        """Waits until `count` slaves are joined, no more and no less."""
        eventually("the slaves to join", lambda: len(self.json("/api/v1/slaves")["slaves"]) == count)

    def restart_master(self, kill: bool = False) -> None:
        """Stops (or kills) the master and starts it again on the same ports and folder."""
        self.stop_master(kill)
        self.start_master()

    def stop_master(self, kill: bool = False) -> None:
        """Stops (or kills) the master and leaves it so."""
        if kill:
            self.master.kill()
        else:
            assert self.master.stop() == 0

    def start_master(self) -> None:
        """Starts a master that has ended again, on the same ports and folder."""
        self._start_master(self.grpc.split("://")[1], self.http.split("://")[1])

    def leave_liar(self, name: str, reason: str, since_ms: int = 0) -> None:
        """Starts the master again as one that has found a slave out to have lied leaves its store behind."""
        self.stop_master()
        with closing(sqlite3.connect(self.data_dir / "tally.db")) as store, store:
            store.execute("insert into _slaves_set_aside values (?, '', ?, ?)", (name, reason, since_ms))
        self.start_master()

    def stop(self) -> None:
        """Stops everything and removes the folder."""
        for process in [*self.slaves, *([self.master] if hasattr(self, "master") else [])]:
            process.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def path(self, name: str) -> Path:
        """A path in the cluster's folder."""
        return self.folder / name

    def get(self, path: str, **more: Any) -> requests.Response:
        """Asks the gateway for a path."""
        return requests.get(self.http + path, timeout=PATIENCE, **more)

    def json(self, path: str) -> Any:
        """The JSON at a path of the gateway, which must be there."""
        answer = self.get(path)
        assert answer.status_code == 200, f"{path}: {answer.status_code} {answer.text}"
        return answer.json()

    def submit(self, body: bytes, query: str = "", **headers: str) -> Any:
        """Submits an input, which must be taken, and gives the job as it was then."""
        url = f"{self.http}/api/v1/jobs?{query}"
        answer = requests.post(url, data=body, headers=headers, timeout=PATIENCE)
        assert answer.status_code == 202, f"{answer.status_code} {answer.text}"
        return answer.json()

    def ended(self, job: str) -> Any:
        """The job once it has ended."""

        def look() -> Any:
            view = self.json(f"/api/v1/jobs/{job}")
            return view if view["state"] in ("succeeded", "failed", "cancelled") else None

        return eventually(f"job {job} to end", look)

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Runs a client command against the master to its end."""
        command = [str(binary()), *arguments, "--master", self.grpc]
        return subprocess.run(command, capture_output=True, text=True, env=environment(), timeout=PATIENCE)

    def generate(self, size: str, kind: str = "low", seed: int = 1) -> Path:
        """A file of test data, such as 10MB of `low`."""
        return generate(self.path(f"{kind}-{size}-{seed}.csv"), size, kind, seed)


def generate(path: Path, size: str, kind: str = "low", seed: int = 1) -> Path:
    """Writes test data to `path`, unless it is there, and gives the path."""
    if not path.exists():
        command = [str(binary()), "generate", "--size", size, "--kind", kind, "--seed", str(seed), "-o", str(path)]
        subprocess.run(command, check=True, env=environment(), stderr=subprocess.DEVNULL)
    return path


def _url(line: str) -> str:
    return next(word for word in line.split() if word.startswith(("http://", "https://")))


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A cluster of two slaves for all tests of a file, which must leave it as they found it, but for jobs."""
    started = Cluster()
    yield started
    started.stop()


@pytest.fixture
def start_cluster() -> Iterator[Callable[..., Cluster]]:
    """Starts clusters of a test's own: `start_cluster(slaves=1, flags=("--retain-days", "1"))`."""
    started: list[Cluster] = []

    def start(**how: Any) -> Cluster:
        started.append(Cluster(**how))
        return started[-1]

    yield start
    for one in started:
        one.stop()
