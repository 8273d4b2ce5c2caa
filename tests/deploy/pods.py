"""Runs containers of manifests without Kubernetes, as near to how a node would run them as a test can.

A pod has a network namespace with a link to the node, and can reach those whom network policies let it reach. Its
container has namespaces for mounts and processes, a root that can not be written to, the volumes that it names,
the user, groups, environment and arguments that the manifest says, and its memory limit where control groups can
be made. Needs root.
"""

import ipaddress
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import yaml

HERE = Path(__file__).resolve().parent
PATIENCE = 60.0
# Addresses in namespaces that are made here, which nothing leads out of.
SUBNET = ipaddress.ip_network("10.203.7.0/24")


def sh(*args: object, check: bool = True) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([str(arg) for arg in args], capture_output=True, text=True, check=False)
    assert not check or done.returncode == 0, f"{args}: {done.stderr}"
    return done


def until(what: str, condition: Callable[[], object], patience: float = PATIENCE) -> object:
    deadline = time.monotonic() + patience
    while not (value := condition()):
        assert time.monotonic() < deadline, f"{what}: not within {patience:.0f} s"
        time.sleep(0.05)
    return value


class Manifests:
    """What was rendered, by kind and name."""

    def __init__(self, file: Path) -> None:
        self.all = [item for item in yaml.safe_load_all(file.read_text()) if item]

    def kind(self, kind: str) -> list[dict]:
        return [item for item in self.all if item["kind"] == kind]

    def one(self, kind: str, name: str) -> dict:
        return next(item for item in self.kind(kind) if item["metadata"]["name"] == name)

    def allows(self, source: dict, to: dict, port: int) -> bool:
        """Whether network policies let a pod with labels `source` dial one of the same namespace."""
        return self._side("Egress", source, to, port) and self._side("Ingress", to, source, port)

    def _side(self, direction: str, subject: dict, other: dict, port: int) -> bool:
        key, peers = ("egress", "to") if direction == "Egress" else ("ingress", "from")
        governed = False
        for policy in (item["spec"] for item in self.kind("NetworkPolicy")):
            if direction not in policy["policyTypes"] or not matches(policy["podSelector"], subject):
                continue
            governed = True
            for rule in policy.get(key, []):
                here = (
                    "namespaceSelector" not in peer and matches(peer["podSelector"], other)
                    for peer in rule[peers]
                )
                if any(here) and any(one["port"] == port for one in rule["ports"]):
                    return True
        return not governed


def matches(selector: dict, labels: dict) -> bool:
    return all(labels.get(key) == value for key, value in selector.get("matchLabels", {}).items())


class Node:
    """The network between pods, a root file system for all of them, and what is to be cleaned up."""

    def __init__(self, folder: Path, binary: Path) -> None:
        self.folder, self.binary = folder, binary
        self.name = f"tally-{os.getpid()}"
        self.addresses = SUBNET.hosts()
        self.address = str(next(self.addresses))
        self.pods: list[Pod] = []
        # What Secrets hold, by name and key.
        self.secrets: dict[str, dict[str, bytes]] = {}
        sh("ip", "netns", "add", self.name)
        self.ip("link", "set", "lo", "up")
        self.ip("link", "add", "pods", "type", "bridge")
        self.ip("addr", "add", f"{self.address}/{SUBNET.prefixlen}", "dev", "pods")
        self.ip("link", "set", "pods", "up")
        self.root = folder / "root"
        self.fill_root()

    def ip(self, *args: object) -> None:
        sh("ip", "-n", self.name, *args)

    def fill_root(self) -> None:
        """As in the image, with the libraries that a binary needs which is not static."""
        place = self.root / "usr/bin/tally"
        place.parent.mkdir(parents=True)
        shutil.copy(self.binary, place)
        for line in sh("ldd", self.binary, check=False).stdout.splitlines():
            library = next((Path(word) for word in line.split() if word.startswith("/")), None)
            if library:
                copy = self.root / str(library).lstrip("/")
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(library, copy)
        for name in ("proc", "etc", "var/lib/tally"):
            (self.root / name).mkdir(parents=True, exist_ok=True)

    def names(self, addresses: dict[str, str]) -> None:
        """What a cluster's DNS would answer."""
        lines = [f"{address} {name}\n" for name, address in addresses.items()]
        (self.root / "etc/hosts").write_text("127.0.0.1 localhost\n" + "".join(lines))

    def python(self, *args: object, within: str | None = None) -> subprocess.CompletedProcess[str]:
        return sh("ip", "netns", "exec", within or self.name, sys.executable, *args, check=False)

    def fetch(self, url: str, key: str | None = None) -> str | None:
        """A page, as the node or Prometheus would fetch it; nothing where it is not 200."""
        done = self.python(HERE / "fetch.py", url, *([key] if key else []))
        return done.stdout if done.returncode == 0 else None

    def close(self) -> None:
        for pod in self.pods:
            try:
                pod.kill()
            except (AssertionError, OSError) as error:
                print(f"{pod.name} is left behind: {error}")
        for pod in self.pods:
            sh("ip", "netns", "del", pod.network, check=False)
        sh("ip", "netns", "del", self.name, check=False)


@dataclass
class Pod:
    """One pod with one container."""

    node: Node
    name: str
    labels: dict
    network: str = ""
    address: str = ""
    args: list[str] = field(default_factory=list)
    env: dict[str, str] = field(default_factory=dict)
    user: int = 65532
    group: int = 65532
    groups: list[int] = field(default_factory=list)
    mounts: dict[str, tuple[Path, bool]] = field(default_factory=dict)
    memory: int | None = None
    process: subprocess.Popen | None = None

    def __post_init__(self) -> None:
        self.network = f"{self.node.name}-{self.name}"[-60:]
        self.address = str(next(self.node.addresses))
        link = f"v{len(self.node.pods)}"
        sh("ip", "netns", "add", self.network)
        self.node.ip("link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", self.network)
        self.node.ip("link", "set", link, "master", "pods", "up")
        sh("ip", "-n", self.network, "link", "set", "lo", "up")
        # Nobody can be reached but the node, until `reaches` says so.
        sh("ip", "-n", self.network, "addr", "add", f"{self.address}/32", "dev", "eth0")
        sh("ip", "-n", self.network, "link", "set", "eth0", "up")
        sh("ip", "-n", self.network, "route", "add", self.node.address, "dev", "eth0")
        self.link = link
        self.log = self.node.folder / f"{self.name}.log"
        self.cgroup: Path | None = None
        self.node.pods.append(self)

    def reaches(self, other: "Pod") -> None:
        """Packets go from here to there and back."""
        sh("ip", "-n", self.network, "route", "replace", other.address, "dev", "eth0")
        sh("ip", "-n", other.network, "route", "replace", self.address, "dev", "eth0")

    def slow(self, rate: str) -> None:
        """What comes to this pod comes no faster."""
        shape = ("tbf", "rate", rate, "burst", "128kb", "latency", "200ms")
        sh("ip", "netns", "exec", self.node.name, "tc", "qdisc", "add", "dev", self.link, "root", *shape)

    def command(self, *args: str) -> list[str]:
        root = self.node.folder / f"{self.name}.root"
        root.mkdir(exist_ok=True)
        # A runtime makes places for volumes before the root can not be written to any more.
        for place in self.mounts:
            (self.node.root / place.lstrip("/")).mkdir(parents=True, exist_ok=True)
        steps = [
            f"/bin/mount --bind {self.node.root} {root}",
            *(f"/bin/mount --bind {source} {root}{place}" for place, (source, _) in self.mounts.items()),
            f"/bin/mount -t proc proc {root}/proc",
            f"/bin/mount -o remount,bind,ro,nosuid,nodev {root}",
            *(f"/bin/mount -o remount,bind,ro {root}{place}" for place, (_, only) in self.mounts.items() if only),
        ]
        groups = ",".join(str(group) for group in self.groups)
        chroot = [
            shutil.which("setpriv"), "--no-new-privs", shutil.which("chroot"),
            f"--userspec={self.user}:{self.group}", f"--groups={groups}", str(root),
        ]
        script = " && ".join(steps) + ' && exec "$@"'
        return [
            shutil.which("ip"), "netns", "exec", self.network,
            shutil.which("unshare"), "--mount", "--pid", "--fork", "--kill-child",
            "/bin/sh", "-c", script, "sh", *chroot, *args,
        ]

    def start(self) -> None:
        """The container: process 1 of its own, as in Kubernetes."""
        self.limit_memory()
        join = (lambda: (self.cgroup / "cgroup.procs").write_text("0")) if self.cgroup else None
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command("/usr/bin/tally", *self.args), env=self.env, stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, preexec_fn=join,
            )

    def run(self, *command: str) -> int:
        """A command in the container, as an exec probe has it."""
        return subprocess.run(self.command(*command), env=self.env, capture_output=True, check=False).returncode

    def tell(self, *command: str) -> str:
        """What a command in the container prints."""
        return subprocess.run(
            self.command(*command), env=self.env, stdout=subprocess.PIPE, text=True, check=True
        ).stdout

    @property
    def pid(self) -> int:
        """Of process 1, as it is seen from here."""
        outer = self.process.pid
        return int(until("a process", lambda: Path(f"/proc/{outer}/task/{outer}/children").read_text().split())[0])

    def stop(self, patience: float) -> tuple[int, float]:
        """SIGTERM, and how it ended, after how many seconds. As Kubernetes does, it is killed after `patience`."""
        began = time.monotonic()
        os.kill(self.pid, signal.SIGTERM)
        try:
            return self.process.wait(timeout=patience), time.monotonic() - began
        except subprocess.TimeoutExpired:
            self.kill()
            return -signal.SIGKILL, time.monotonic() - began

    def kill(self) -> None:
        if self.process and self.process.poll() is None:
            # With process 1 go all the others. What started it would leave it behind: it has changed its user.
            os.kill(self.pid, signal.SIGKILL)
            self.process.wait()
        if self.cgroup:
            until("the control group is empty", lambda: not (self.cgroup / "cgroup.procs").read_text().split())
            self.cgroup.rmdir()
            self.cgroup = None

    def limit_memory(self) -> None:
        """A control group with the container's limit, if one can be made."""
        if self.memory is None or self.cgroup:
            return
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers not in ("memory", ""):
                continue
            one = Path("/sys/fs/cgroup") / controllers / path.lstrip("/") / f"{self.node.name}-{self.name}"
            limit = "memory.limit_in_bytes" if controllers else "memory.max"
            try:
                one.mkdir()
                (one / limit).write_text(str(self.memory))
            except OSError:
                if one.exists():
                    one.rmdir()
                continue
            self.cgroup = one
            return

    def peak_memory(self) -> int | None:
        """The most that it has had, pages of files included."""
        for name in ("memory.max_usage_in_bytes", "memory.peak"):
            if self.cgroup and (self.cgroup / name).exists():
                return int((self.cgroup / name).read_text())
        return None

    def sockets(self, state: str) -> set[tuple[str, int, str, int]]:
        """TCP sockets in a state: local address and port, and the other side's."""
        found = set()
        for table in ("tcp", "tcp6"):
            for line in Path(f"/proc/{self.pid}/net/{table}").read_text().splitlines()[1:]:
                _, local, remote, now = line.split()[:4]
                if now == state:
                    found.add((*endpoint(local), *endpoint(remote)))
        return found


ESTABLISHED, LISTENING = "01", "0A"


def endpoint(text: str) -> tuple[str, int]:
    """An address and port as the kernel writes them: words in the order of this machine's bytes."""
    address, port = text.split(":")
    words = [bytes.fromhex(address[at : at + 8])[::-1] for at in range(0, len(address), 8)]
    parsed = ipaddress.ip_address(b"".join(words))
    return str(getattr(parsed, "ipv4_mapped", None) or parsed), int(port, 16)


def quantity(text: str) -> int:
    """Bytes, as Kubernetes writes them."""
    units = {"k": 10**3, "M": 10**6, "G": 10**9, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30}
    unit = text.lstrip("0123456789")
    return int(text.removesuffix(unit)) * units.get(unit, 1)


def pod_of(node: Node, manifests: Manifests, workload: dict, name: str) -> Pod:
    """A pod as Kubernetes would make it of a workload."""
    template = workload["spec"]["template"]
    spec = template["spec"]
    (container,) = spec["containers"]
    context = spec["securityContext"]
    pod = Pod(
        node, name, template["metadata"]["labels"],
        user=context["runAsUser"], group=context["runAsGroup"],
        groups=[context["fsGroup"]] if "fsGroup" in context else [],
        memory=quantity(container["resources"]["limits"]["memory"]),
    )
    fields = {"metadata.name": name}
    for item in container["env"]:
        pod.env[item["name"]] = item.get("value") or fields[item["valueFrom"]["fieldRef"]["fieldPath"]]
    pod.args = container["args"]
    claims = [claim["metadata"]["name"] for claim in workload["spec"].get("volumeClaimTemplates", [])]
    for mount in container["volumeMounts"]:
        source = node.folder / f"{name}-{mount['name']}"
        source.mkdir()
        if mount["name"] in claims:
            # A fresh ext4 volume, which belongs to root and to the pod's group.
            (source / "lost+found").mkdir(mode=0o700)
            os.chown(source, 0, context["fsGroup"])
            source.chmod(0o2775)
        else:
            volume = next(volume for volume in spec["volumes"] if volume["name"] == mount["name"])
            if "configMap" in volume:
                for file, text in manifests.one("ConfigMap", volume["configMap"]["name"])["data"].items():
                    (source / file).write_text(text)
            else:
                fill_secret(source, node.secrets[volume["secret"]["secretName"]], volume["secret"], context["fsGroup"])
        pod.mounts[mount["mountPath"]] = (source, mount.get("readOnly", False))
    return pod


def fill_secret(folder: Path, holds: dict[str, bytes], volume: dict, group: int) -> None:
    """A Secret's volume: root's, and readable for the pod's group as far as its mode says."""
    items = {item["key"]: item["path"] for item in volume.get("items", [])} or {key: key for key in holds}
    for key, path in items.items():
        (folder / path).write_bytes(holds[key])
        os.chown(folder / path, 0, group)
        (folder / path).chmod(volume["defaultMode"])


def access(node: Node) -> str:
    """The Secret `tally-access`, made as docs/deploy.md says. Gives a key that may do all."""
    folder = node.folder / "access"
    key = sh(node.binary, "keys", "create", "--data-dir", folder, "--name", "test", "--scope", "admin").stdout.strip()
    sh(node.binary, "keys", "join-token", "--data-dir", folder)
    node.secrets["tally-access"] = {name: (folder / name).read_bytes() for name in ("keys.json", "join-token")}
    return key
