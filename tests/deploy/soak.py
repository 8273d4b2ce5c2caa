"""A soak: a cluster of the production overlay under its limits, mixed load on it, and chaos, for as long as is said.

    python soak.py --minutes 60 [--seed N]       (scripts/soak does what it needs first)

A master and three slaves run as the manifests have them (see pods.py), each in its control group. soak_load.py asks
of them all that users do, and compares what comes. Meanwhile slaves are killed, told to stop, and held still; in the
first third the master, too, is killed and stopped, and then it goes on to the end, so that its memory can be
compared with itself. What is asked for is that no user sees an error, that nothing is killed for its memory, and that
the master's memory in the last quarter is not larger than in the second.
"""

import argparse
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from pods import HERE, Manifests, Node, Pod, access, pod_of, until

SLAVES = 3
# How much the master's memory may differ between two quarters and still be called flat: allocators and the disk's
# cache of the store move about by as much within minutes.
SLACK = 0.15
SLACK_BYTES = 12_000_000


class Soak:
    def __init__(self, node: Node, manifests: Manifests, seed: int) -> None:
        self.node, self.rng = node, random.Random(seed)
        self.key = access(node)
        self.master = pod_of(node, manifests, manifests.one("StatefulSet", "tally-master"), "tally-master-0")
        workload = manifests.one("Deployment", "tally-slave")
        self.slaves = [pod_of(node, manifests, workload, f"tally-slave-{n}") for n in range(SLAVES)]
        for slave in self.slaves:
            slave.reaches(self.master)
        node.names({one["metadata"]["name"]: self.master.address for one in manifests.kind("Service")})
        self.samples: list[tuple[float, str, int, int]] = []
        self.deeds: dict[str, int] = {}
        self.ended = threading.Event()

    def start(self) -> None:
        self.master.start()
        self.wait_for_master()
        for slave in self.slaves:
            slave.start()

    def wait_for_master(self) -> None:
        until("the master is ready", lambda: self.node.fetch(f"http://{self.master.address}:8080/readyz") is not None)

    def sample(self) -> None:
        """What each has of its own, and all that its control group has, pages of files included."""
        now = time.monotonic()
        for pod in [self.master, *self.slaves]:
            try:
                own = int(next(
                    line.split()[1]
                    for line in Path(f"/proc/{pod.pid}/status").read_text().splitlines()
                    if line.startswith("RssAnon")
                )) * 1024
            except (OSError, StopIteration, AssertionError):
                continue
            self.samples.append((now, pod.name, own, pod.peak_memory() or 0))

    def watch(self) -> None:
        while not self.ended.wait(5):
            self.sample()

    def did(self, what: str) -> None:
        self.deeds[what] = self.deeds.get(what, 0) + 1

    def trouble(self, master_too: bool) -> None:
        slave = self.rng.choice(self.slaves)
        deeds = [self.kill, self.stop, self.hold]
        if master_too and self.rng.random() < 0.3:
            self.rng.choice([self.kill, self.stop])(self.master)
            self.wait_for_master()
        else:
            self.rng.choice(deeds)(slave)

    def kill(self, pod: Pod) -> None:
        # The group stays: it knows the most that there ever was.
        os.kill(pod.pid, signal.SIGKILL)
        pod.process.wait()
        self.did(f"{pod.name[:12].rstrip('-')} killed")
        pod.start()

    def stop(self, pod: Pod) -> None:
        code, _ = pod.stop(75)
        assert code == 0, f"{pod.name} ended with {code} when it was told to stop"
        self.did(f"{pod.name[:12].rstrip('-')} told to stop")
        pod.start()

    def hold(self, pod: Pod) -> None:
        pid = pod.pid
        os.kill(pid, signal.SIGSTOP)
        time.sleep(self.rng.uniform(5, 30))
        os.kill(pid, signal.SIGCONT)
        self.did("slave held still")

    def quarter(self, began: float, length: float, number: int) -> list[int]:
        first, last = began + (number - 1) * length / 4, began + number * length / 4
        return [own for at, name, own, _ in self.samples if name == self.master.name and first <= at < last]


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    # What was started is stopped.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("told to stop"))
    repo = HERE.parent.parent
    binary = Path(os.environ.get("TALLY_BINARY", repo / "target/release/tally")).resolve()
    rendered = Path(os.environ["TALLY_MANIFESTS"]) / "production.yaml"
    with tempfile.TemporaryDirectory(prefix="tally-soak-") as folder:
        os.chmod(folder, 0o755)
        node = Node(Path(folder), binary)
        try:
            return run(Soak(node, Manifests(rendered), args.seed), args.minutes, Path(folder))
        finally:
            node.close()


def run(soak: Soak, minutes: float, folder: Path) -> int:
    soak.start()
    limited = soak.master.cgroup is not None
    began, length = time.monotonic(), minutes * 60
    watcher = threading.Thread(target=soak.watch)
    watcher.start()
    (folder / "load").mkdir()
    load = subprocess.Popen(
        [
            "ip", "netns", "exec", soak.node.name, sys.executable, str(HERE / "soak_load.py"),
            "--http", f"http://{soak.master.address}:8080", "--grpc", f"http://{soak.master.address}:7070",
            "--binary", str(soak.node.binary), "--folder", str(folder / "load"), "--minutes", str(minutes),
        ],
        stdout=subprocess.PIPE, text=True, env=os.environ | {"TALLY_API_KEY": soak.key},
    )
    said: dict = {}

    def listen() -> None:
        for line in load.stdout:
            said.update(json.loads(line))
            print(f"{(time.monotonic() - began) / 60:5.1f} min {line.strip()}", flush=True)

    listener = threading.Thread(target=listen)
    listener.start()
    problems = []
    try:
        while load.poll() is None and time.monotonic() < began + length:
            time.sleep(soak.rng.uniform(5, 25))
            soak.trouble(master_too=time.monotonic() < began + length / 3)
        load.wait(timeout=900)
    except (AssertionError, subprocess.TimeoutExpired) as error:
        problems.append(str(error))
        load.kill()
    listener.join()
    soak.ended.set()
    watcher.join()

    problems += said.get("errors", ["the load said nothing"])
    if not said.get("ended"):
        problems.append("the load did not come to its end")
    second, last = soak.quarter(began, length, 2), soak.quarter(began, length, 4)
    if second and last:
        before, after = statistics.median(second), statistics.median(last)
        print(f"the master's own memory, medians: second quarter {before / 1e6:.1f} MB, last {after / 1e6:.1f} MB")
        if after > before * (1 + SLACK) + SLACK_BYTES:
            problems.append("the master's memory grows")
    for pod in [soak.master, *soak.slaves]:
        own = max((own for _, name, own, _ in soak.samples if name == pod.name), default=0)
        whole = max((peak for _, name, _, peak in soak.samples if name == pod.name), default=0)
        print(f"{pod.name}: own memory up to {own / 1e6:.0f} MB, its group {whole / 1e6:.0f} MB of {pod.memory / 1e6:.0f}")
        killed = pod.cgroup and (pod.cgroup / "memory.oom_control").exists() and [
            line for line in (pod.cgroup / "memory.oom_control").read_text().splitlines()
            if line.startswith("oom_kill ") and line != "oom_kill 0"
        ]
        if killed:
            problems.append(f"{pod.name} was killed for its memory: {killed}")
    print(f"limits by control groups: {'yes' if limited else 'NO, none could be made'}; trouble: {soak.deeds}")
    print(f"done: {said.get('done')}")
    for problem in problems:
        print(f"PROBLEM {problem}")
    if problems:
        for pod in [soak.master, *soak.slaves]:
            print(f"--- the end of {pod.name}'s log\n" + "".join(pod.log.read_text().splitlines(keepends=True)[-30:]))
    print("the soak failed" if problems else "the soak is over, and nobody saw an error")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
