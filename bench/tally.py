"""Tally as it is used: in one process, and as a master with slaves."""

import json
import shutil
import ssl
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path

import measure
from kinds import Kind

START_SECONDS = 30


class Embedded:
    """`tally count`: master and slaves in one process."""

    ours = True
    key, label = "count", "tally count"

    def __init__(self, tally: Path, threads: int, limits: measure.Limits):
        self.tally, self.threads, self.limits = tally, threads, limits

    def count(self, kind: Kind, source: Path, target: Path) -> measure.Sample:
        command = [self.tally, "count", source, "-o", target, "--workers", self.threads, *kind.flags]
        return measure.run(command, "process", self.limits)[0]

    def close(self) -> None:
        """Nothing runs between counts."""


class Cluster:
    """A master and slaves of one worker each, started once and used for all counts.

    What is timed is `tally submit --wait`, to the result on disk. CPU seconds and memory are those of
    client, master and slaves together during that time.
    """

    ours = True
    key, label = "cluster", "tally master, "

    def __init__(self, tally: Path, slaves: int, limits: measure.Limits, work: Path):
        self.label += f"{slaves} slave{'' if slaves == 1 else 's'}"
        self.tally, self.limits = tally, limits
        self.processes: dict[str, subprocess.Popen] = {}
        self.folder = Path(tempfile.mkdtemp(prefix="cluster-", dir=work))
        try:
            self._start(slaves)
        except BaseException:
            self.close()
            raise

    def _start(self, slaves: int) -> None:
        # Port 0 takes a free port, and the master says which: nobody can take it in between.
        listen = ["--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0"]
        self._spawn("master", ["--data-dir", self.folder / "data", *listen, *self.of_master()])
        self.url = self._address()
        http = self._said("master", "HTTP on ")
        for number in range(1, slaves + 1):
            name = f"slave {number}"
            self._spawn(name, ["--master", self.url, "--workers", "1", "--name", name, *self.of_slave()])
        self._wait("the slaves to join", lambda: joined(http, self.trust()) == slaves)

    def of_master(self) -> list:
        """Further arguments of the master."""
        return []

    def of_slave(self) -> list:
        """Further arguments of a slave."""
        return []

    def of_submit(self) -> list:
        """Further arguments of the client."""
        return []

    def trust(self) -> ssl.SSLContext | None:
        """How the master's HTTP is asked."""
        return None

    def _address(self) -> str:
        return self._said("master", "gRPC on ")

    def _spawn(self, name: str, arguments: list) -> None:
        command = [self.tally, name.split()[0], *arguments]
        with self._log(name).open("w") as log:
            process = subprocess.Popen([str(part) for part in command], stdout=log, stderr=log)
        self.processes[name] = process

    def _log(self, name: str) -> Path:
        return self.folder / f"{name.replace(' ', '-')}.log"

    def _said(self, name: str, before: str) -> str:
        """The rest of the line that a process prints after `before`."""

        def said() -> str:
            return self._log(name).read_text().partition(before)[2].partition("\n")[0]

        return self._wait(f"{name} to print {before!r}", said).strip()

    def _wait(self, what: str, done):
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            self._must_run()
            if result := done():
                return result
            time.sleep(0.02)
        raise measure.Failed(f"waited {START_SECONDS} s for {what}, in vain")

    def _must_run(self) -> None:
        for name, process in self.processes.items():
            if process.poll() is not None:
                raise measure.Failed(f"{name} ended:\n{self._log(name).read_text()}")

    def count(self, kind: Kind, source: Path, target: Path) -> measure.Sample:
        self._must_run()
        where = ["--master", self.url, "--wait", "-o", target]
        command = [self.tally, "submit", source, *where, *self.of_submit(), *kind.flags]
        beside = {name: process.pid for name, process in self.processes.items()}
        return measure.run(command, "client", self.limits, beside)[0]

    def close(self) -> None:
        """Ends all processes, the slaves first, whatever state they are in."""
        for process in reversed(self.processes.values()):
            process.kill()
            process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


class InPlace(Cluster):
    """A master that is where the files are, as the other engines are: it reads the input and writes the
    result where they lie, and streams the tasks to its slaves over gRPC."""

    key, label = "inplace", "master reads and writes the files, "

    def of_master(self) -> list:
        files = self.folder.parent
        return ["--input-dir", files, "--output-dir", files]

    def of_submit(self) -> list:
        return ["--in-place", "--result-in-place"]


class Nearby(InPlace):
    """The same where the slaves see the files, too: all use a Unix socket, and slaves read their tasks
    where they lie."""

    key, label = "nearby", "slaves read the files, too, "

    def of_master(self) -> list:
        return [*super().of_master(), "--grpc-socket", self._socket(), "--share-spool"]

    def of_slave(self) -> list:
        return ["--read-spool", self.folder.parent]

    def _address(self) -> str:
        super()._address()
        return f"unix:{self._socket()}"

    def _socket(self) -> Path:
        return self.folder / "socket"


class MutualTls(Cluster):
    """All three by TLS, each with a certificate of its own that the other end verifies."""

    key, label = "tls", "the same by mutual TLS, "

    def _start(self, slaves: int) -> None:
        for made in (["ca"], ["server", "localhost", "127.0.0.1"], ["client", "all", "--scope", "join,admin"]):
            subprocess.run([self.tally, "certs", *made, "--dir", self._certs()], check=True, capture_output=True)
        super()._start(slaves)

    def _certs(self) -> Path:
        return self.folder / "certs"

    def of_master(self) -> list:
        pair = ["--tls-cert", self._certs() / "localhost.pem", "--tls-key", self._certs() / "localhost.key"]
        return [*pair, "--tls-client-ca", self._certs() / "ca.pem"]

    def of_slave(self) -> list:
        pair = ["--tls-cert", self._certs() / "all.pem", "--tls-key", self._certs() / "all.key"]
        return [*pair, "--tls-ca", self._certs() / "ca.pem"]

    def of_submit(self) -> list:
        return self.of_slave()

    def trust(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self._certs() / "ca.pem"))
        context.load_cert_chain(self._certs() / "all.pem", self._certs() / "all.key")
        return context


def joined(http: str, trust: ssl.SSLContext | None) -> int:
    """Slaves that the master knows."""
    with urllib.request.urlopen(f"{http}/api/v1/slaves", timeout=START_SECONDS, context=trust) as answer:
        slaves = json.load(answer)
    return len(slaves["slaves"] if isinstance(slaves, dict) else slaves)
