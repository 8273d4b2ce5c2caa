"""A cluster for a browser to look at: that of the other tests, with slaves that are known by name and can be
stopped one by one."""

import signal
from pathlib import Path

import requests
from tally_cluster import PATIENCE, Process, binary, eventually
from tally_cluster import Cluster as Processes

TALLY = str(binary())


class Cluster:
    """Starts with a master; slaves are added. Everything stops on `close`."""

    def __init__(self, *flags):
        self.processes = Processes(slaves=0, flags=flags)
        self.slaves = {}

    @property
    def url(self):
        return self.processes.http

    def kill_master(self):
        """The master is gone, without a word."""
        self.processes.stop_master(kill=True)

    def start_master(self):
        """Starts the master again, at the same addresses."""
        self.processes.start_master()

    def slave(self, name, wait=True):
        """Adds a slave, and waits until it has joined."""
        self.slaves[name] = Process(
            name, ["slave", "--master", self.processes.grpc, "--workers", "1", "--name", name]
        )
        if wait:
            eventually(f"{name} to join", lambda: name in self.names())

    def names(self):
        return [slave["name"] for slave in self.get("/api/v1/slaves")["slaves"]]

    def signal(self, name, number):
        self.slaves[name].child.send_signal(number)

    def kill_slave(self, name):
        self.slaves.pop(name).kill()

    def ask(self, path, data=None, method="GET", headers=None):
        answer = requests.request(method, self.url + path, data=data, headers=headers, timeout=PATIENCE)
        answer.raise_for_status()
        return answer.content

    def get(self, path):
        return self.processes.json(path)

    def submit(self, data, query=""):
        """Submits bytes or a file, and gives the job's id."""
        data = data if isinstance(data, bytes) else Path(data).read_bytes()
        return self.processes.submit(data, query.removeprefix("?"))["id"]

    def job(self, job):
        return self.get(f"/api/v1/jobs/{job}")

    def wait(self, job, *states):
        """Waits until a job is in one of these states, and gives it."""

        def there():
            view = self.job(job)
            return view if view["state"] in states else None

        return eventually(f"{job} to be {states}", there)

    def close(self):
        for process in self.slaves.values():
            # One that was stopped does not hear anything else.
            process.child.send_signal(signal.SIGCONT)
            process.kill()
        self.processes.stop()
