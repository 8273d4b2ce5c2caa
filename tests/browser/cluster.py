"""A master and its slaves as processes, for a browser to look at."""

import json
import os
import re
import signal
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
TALLY = os.environ.get("TALLY_BIN", str(REPO / "target" / "debug" / "tally"))

# Long enough for a loaded machine; nobody waits that long on a good one.
PATIENCE = 60


def eventually(what, check, seconds=PATIENCE):
    """Waits until `check` is true, and gives what it gave."""
    end = time.monotonic() + seconds
    while True:
        found = check()
        if found:
            return found
        assert time.monotonic() < end, f"not in {seconds} s: {what}"
        time.sleep(0.05)


class Cluster:
    """Starts with a master; slaves are added. Everything stops on `close`."""

    def __init__(self, *flags):
        self.folder = tempfile.TemporaryDirectory(prefix="tally-browser-")
        self.flags = flags
        self.slaves = {}
        self.grpc = self.http = "127.0.0.1:0"
        self.master = None
        self.start_master()

    def start_master(self):
        """Starts the master, again at the same addresses if it was there before."""
        log = Path(self.folder.name, "master.log")
        with log.open("wb") as out:
            data = str(Path(self.folder.name, "data"))
            command = [TALLY, "master", "--data-dir", data, "--grpc", self.grpc, "--http", self.http]
            self.master = subprocess.Popen([*command, *self.flags], stdout=out, stderr=out)

        def address(kind):
            found = re.search(rf"{kind} on http://(\S+)", log.read_text())
            assert self.master.poll() is None, log.read_text()
            return found and found.group(1)

        self.grpc = eventually("gRPC listens", lambda: address("gRPC"))
        self.http = eventually("HTTP listens", lambda: address("HTTP"))

    @property
    def url(self):
        return f"http://{self.http}"

    def kill_master(self):
        """The master is gone, without a word."""
        self.master.kill()
        self.master.wait()

    def slave(self, name, wait=True):
        """Adds a slave, and waits until it has joined."""
        command = [TALLY, "slave", "--master", f"http://{self.grpc}", "--workers", "1", "--name", name]
        with Path(self.folder.name, f"{name}.log").open("wb") as out:
            self.slaves[name] = subprocess.Popen(command, stdout=out, stderr=out)
        if wait:
            eventually(f"{name} joins", lambda: name in self.names())

    def names(self):
        return [slave["name"] for slave in self.get("/api/v1/slaves")["slaves"]]

    def signal(self, name, number):
        self.slaves[name].send_signal(number)

    def kill_slave(self, name):
        self.slaves[name].kill()
        self.slaves.pop(name).wait()

    def ask(self, path, data=None, method=None, headers=None):
        request = urllib.request.Request(self.url + path, data=data, method=method, headers=headers or {})
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return answer.read()

    def get(self, path):
        return json.loads(self.ask(path))

    def submit(self, data, query=""):
        """Submits bytes or a file, and gives the job's id."""
        data = data if isinstance(data, bytes) else Path(data).read_bytes()
        return json.loads(self.ask(f"/api/v1/jobs{query}", data, "POST"))["id"]

    def job(self, job):
        return self.get(f"/api/v1/jobs/{job}")

    def wait(self, job, *states):
        """Waits until a job is in one of these states, and gives it."""

        def there():
            view = self.job(job)
            return view if view["state"] in states else None

        return eventually(f"{job} is {states}", there)

    def close(self):
        for process in [*self.slaves.values(), self.master]:
            # One that was stopped does not hear anything else.
            process.send_signal(signal.SIGCONT)
            process.kill()
            process.wait()
        self.folder.cleanup()
