"""What the manifests say, done with the real binary: pods start, are probed, count, and are told to stop."""

import csv
import json
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import yaml

sys.path.insert(0, str(Path(__file__).resolve().parent))
from pods import ESTABLISHED, HERE, LISTENING, Manifests, Node, Pod, access, pod_of, sh, until  # noqa: E402

REPO = HERE.parent.parent
BINARY = Path(os.environ.get("TALLY_BINARY", REPO / "target/debug/tally")).resolve()
RENDERED = Path(os.environ.get("TALLY_MANIFESTS", REPO / "target/manifests"))
MASTER, SLAVE = ("StatefulSet", "tally-master"), ("Deployment", "tally-slave")
CLIENT = {"tally-client": "true"}

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces are made by root"),
    pytest.mark.skipif(not BINARY.exists(), reason=f"there is no {BINARY}: cargo build -p tally-cli"),
    pytest.mark.skipif(not RENDERED.exists(), reason="scripts/manifests render has not run"),
    pytest.mark.timeout(300),
]


def container(manifests: Manifests, workload: tuple[str, str]) -> dict:
    (only,) = manifests.one(*workload)["spec"]["template"]["spec"]["containers"]
    return only


def probe(node: Node, pod: Pod, of: dict, name: str) -> bool:
    """One look, from where the kubelet has it."""
    what = of[name]
    ports = {port["name"]: port["containerPort"] for port in of.get("ports", [])}
    if "httpGet" in what:
        port = what["httpGet"]["port"]
        scheme = what["httpGet"].get("scheme", "HTTP").lower()
        return node.fetch(f"{scheme}://{pod.address}:{ports.get(port, port)}{what['httpGet']['path']}") is not None
    if "grpc" in what:
        asked = [pod.address, what["grpc"]["port"], what["grpc"]["service"]]
        return node.python(HERE / "grpc_health.py", *asked).returncode == 0
    return pod.run(*what["exec"]["command"]) == 0


def allowed(of: dict, name: str) -> float:
    """Seconds that Kubernetes gives a probe to succeed."""
    return of[name]["periodSeconds"] * of[name]["failureThreshold"]


class Cluster:
    """A master, two slaves and a client, of the production overlay."""

    def __init__(self, node: Node, manifests: Manifests) -> None:
        self.node, self.manifests = node, manifests
        self.key = access(node)
        self.scheme = "https" if "tally-tls" in node.secrets else "http"
        self.master = pod_of(node, manifests, manifests.one(*MASTER), "tally-master-0")
        self.slaves = [
            pod_of(node, manifests, manifests.one(*SLAVE), f"tally-slave-{letter}") for letter in "ab"
        ]
        self.client = Pod(node, "client", CLIENT)
        self.env: dict[str, str] = {}
        pods = [self.master, *self.slaves, self.client]
        for source in pods:
            for to in pods:
                ports = {port["containerPort"] for port in container(manifests, MASTER)["ports"]}
                if source is not to and any(manifests.allows(source.labels, to.labels, port) for port in ports):
                    source.reaches(to)
        # Each service, as DNS would name it from within the namespace.
        node.names({one["metadata"]["name"]: self.master.address for one in manifests.kind("Service")})

    def start(self) -> None:
        self.start_one(self.master, MASTER)
        for slave in self.slaves:
            self.start_one(slave, SLAVE)

    def start_one(self, pod: Pod, workload: tuple[str, str]) -> None:
        of = container(self.manifests, workload)
        pod.start()
        for name in ("startupProbe", "readinessProbe", "livenessProbe"):
            if name in of:
                until(f"{pod.name}: {name}", lambda: probe(self.node, pod, of, name), allowed(of, name))

    def url(self, port: str) -> str:
        ports = {one["name"]: one["containerPort"] for one in container(self.manifests, MASTER)["ports"]}
        return f"{self.scheme}://{self.master.address}:{ports[port]}"

    def tally(self, *args: object) -> subprocess.CompletedProcess[str]:
        """The command, in the client's pod."""
        command = ["ip", "netns", "exec", self.client.network, BINARY, *args, "--master", self.url("grpc")]
        env = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "TALLY_API_KEY": self.key, **self.env}
        done = subprocess.run([str(part) for part in command], env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done

    def metrics(self) -> str:
        service = self.manifests.one("Service", "tally-metrics")["spec"]
        (port,) = service["ports"]
        monitor = self.manifests.one("ServiceMonitor", "tally")["spec"]["endpoints"][0]
        assert monitor["port"] == port["name"]
        # What the monitor says of its key, and of how it is asked.
        assert monitor["authorization"]["type"] == "Bearer"
        assert monitor.get("scheme", "http") == self.scheme
        return self.node.fetch(self.url(port["targetPort"]) + monitor["path"], self.key)

    def sum(self, metric: str) -> float:
        lines = re.findall(rf"^{metric}(?:{{.*}})? (\S+)$", self.metrics(), re.MULTILINE)
        assert lines, f"there is no {metric}"
        return sum(float(line) for line in lines)


@pytest.fixture(scope="module")
def production() -> Manifests:
    return Manifests(RENDERED / "production.yaml")


@pytest.fixture
def cluster(production: Manifests, tmp_path: Path):
    # Folders above it are root's alone, and the pods are not root.
    for folder in [tmp_path, *tmp_path.parents[:2]]:
        folder.chmod(0o755)
    node = Node(tmp_path, BINARY)
    try:
        yield (made := Cluster(node, production))
        for pod in node.pods:
            if (peak := pod.peak_memory()) is not None:
                print(f"{pod.name}: at most {peak / 1e6:.0f} MB of {pod.memory / 1e6:.0f}")
    finally:
        node.close()
        for pod in node.pods:
            if pod.log.exists():
                print(f"--- {pod.name}\n{pod.log.read_text()}")
    assert made


def test_pods_start_answer_probes_and_use_the_ports_that_policies_name(cluster: Cluster) -> None:
    cluster.start()
    manifests, master = cluster.manifests, cluster.master
    declared = {port["containerPort"] for port in container(manifests, MASTER)["ports"]}
    assert {port for _, port, _, _ in master.sockets(LISTENING)} == declared
    assert "ports" not in container(manifests, SLAVE)
    for slave in cluster.slaves:
        assert not slave.sockets(LISTENING), "a slave listens"
        dialled = {(address, port) for _, _, address, port in slave.sockets(ESTABLISHED)}
        assert dialled == {(master.address, 7070)}
    # What is used is allowed, and what is not used is not.
    assert manifests.allows(cluster.slaves[0].labels, master.labels, 7070)
    for source, to, port in [
        (cluster.slaves[0], master, 8080), (master, cluster.slaves[0], 7070), (master, cluster.client, 8080),
        (cluster.slaves[0], cluster.slaves[1], 7070), (cluster.client, cluster.slaves[0], 7070),
    ]:
        assert not manifests.allows(source.labels, to.labels, port), (source.name, to.name, port)
    assert all(manifests.allows(CLIENT, master.labels, port) for port in declared)
    # Services lead to ports that there are.
    names = {port["name"] for port in container(manifests, MASTER)["ports"]}
    for service in manifests.kind("Service"):
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= names
    # Slaves go by their pods' names.
    joined = json.loads(cluster.tally("slaves", "--output", "json").stdout)
    assert {one["name"] for one in joined} == {slave.name for slave in cluster.slaves}
    # A probe that asks for what there is not does not succeed.
    assert not probe(cluster.node, master, {"x": {"httpGet": {"path": "/nowhere", "port": 8080}}}, "x")
    assert not probe(cluster.node, master, {"x": {"grpc": {"port": 7070, "service": "tally.v1.Nothing"}}}, "x")


def test_who_shows_nothing_is_answered_to_probes_alone(cluster: Cluster) -> None:
    cluster.start_one(cluster.master, MASTER)
    node, url = cluster.node, cluster.url("http")
    assert node.fetch(f"{url}/healthz") and node.fetch(f"{url}/readyz")
    for path in ("/metrics", "/health", "/api/v1/jobs", "/data"):
        assert node.fetch(f"{url}{path}") is None, path
    assert json.loads(node.fetch(f"{url}/api/v1/jobs", cluster.key)) is not None
    # A slave of a stranger, in the place of ours.
    slave = cluster.slaves[0]
    del slave.env["TALLY_TOKEN_FILE"]
    slave.start()
    assert slave.process.wait(timeout=60) != 0
    assert cluster.sum("tally_sessions_joined_total") == 0


def test_the_cluster_with_certificates(tmp_path: Path) -> None:
    for folder in [tmp_path, *tmp_path.parents[:2]]:
        folder.chmod(0o755)
    manifests = Manifests(RENDERED / "tls.yaml")
    node = Node(tmp_path, BINARY)
    try:
        certs = tmp_path / "certs"
        for command in (
            ["ca"],
            ["server", "tally-grpc", "tally-http", "localhost"],
            ["client", "slave", "--scope", "join"],
            ["client", "strange", "--scope", "read"],
        ):
            sh(BINARY, "certs", *command, "--dir", certs)
        ca = (certs / "ca.pem").read_bytes()
        for secret, name in (("tally-tls", "tally-grpc"), ("tally-slave-tls", "slave")):
            pair = [(certs / f"{name}.{end}").read_bytes() for end in ("pem", "key")]
            node.secrets[secret] = dict(zip(("tls.crt", "tls.key", "ca.crt"), [*pair, ca], strict=True))
        cluster = Cluster(node, manifests)
        cluster.start()
        until("both slaves", lambda: cluster.sum("tally_sessions") == 2)
        # Another who has a certificate of ours, for something else.
        stranger = cluster.slaves[0]
        assert stranger.stop(patience=75)[0] == 0
        tls = next(source for place, (source, _) in stranger.mounts.items() if place == "/etc/tally-tls")
        (tls / "tls.crt").write_bytes((certs / "strange.pem").read_bytes())
        (tls / "tls.key").write_bytes((certs / "strange.key").read_bytes())
        stranger.start()
        assert stranger.process.wait(timeout=60) != 0
    finally:
        node.close()
        for pod in node.pods:
            if pod.log.exists():
                print(f"--- {pod.name}\n{pod.log.read_text()}")


def test_a_slave_that_is_told_to_stop_hands_in_what_it_holds(cluster: Cluster, tmp_path: Path) -> None:
    for slave in cluster.slaves:
        slave.slow("60mbit")
    cluster.start()
    plays = tmp_path / "plays.csv"
    subprocess.run([BINARY, "generate", "--size", "100MB", "--kind", "low", "--seed", "7", "-o", plays], check=True)
    job = cluster.tally("submit", plays, "--output", "json", "--name", "drained").stdout
    job = re.search(r"[0-9a-f-]{36}", job)[0]
    leaving, staying = cluster.slaves

    def running() -> dict[str, int]:
        joined = json.loads(cluster.tally("slaves", "--output", "json").stdout)
        return {one["name"]: one["running"] for one in joined}

    until("both slaves count", lambda: all(running().get(slave.name) for slave in (leaving, staying)))
    grace = cluster.manifests.one(*SLAVE)["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    code, seconds = leaving.stop(patience=grace)
    print(f"the slave was gone after {seconds:.1f} s of {grace}")
    assert code == 0
    said = [json.loads(line) for line in leaving.log.read_text().splitlines() if line.startswith("{")]
    held = [line["fields"]["attempts"] for line in said if line["fields"]["message"] == "draining"]
    assert held and held[0] > 0, "it held nothing: this shows nothing"

    totals = tmp_path / "totals.csv"
    cluster.tally("watch", job)
    cluster.tally("result", job, "-o", totals)
    expected: Counter[tuple[str, str]] = Counter()
    records = 0
    with plays.open(encoding="utf-8", newline="") as file:
        rows = csv.reader(file)
        header = [name.strip().lower() for name in next(rows)]
        song, date, count = (header.index(name) for name in ("song", "date", "number of plays"))
        for row in rows:
            expected[row[song], row[date]] += int(row[count])
            records += 1
    with totals.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))[1:]
    assert {(song, date): int(total) for song, date, total in rows} == dict(expected)
    assert len(rows) == len(expected)
    assert cluster.sum("tally_records_counted_total") == records
    assert cluster.sum("tally_attempts_failed_total") == 0, "what the slave held was counted again"
    assert cluster.sum("tally_sessions") == 1

    # And so with the master, which comes back with all that it had.
    grace = cluster.manifests.one(*MASTER)["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    code, seconds = cluster.master.stop(patience=grace)
    print(f"the master was gone after {seconds:.1f} s of {grace}")
    assert code == 0
    cluster.start_one(cluster.master, MASTER)
    cluster.tally("result", job, "-o", tmp_path / "again.csv")
    assert (tmp_path / "again.csv").read_bytes() == totals.read_bytes()
    until("the slave that stayed is back", lambda: cluster.sum("tally_sessions") == 1)
    # Nothing but data is in the volume, and nobody else may read it.
    data = next(source for place, (source, _) in cluster.master.mounts.items() if place == "/var/lib/tally")
    assert {one.name for one in data.iterdir()} == {"lost+found", "data"}


def test_compose_runs_and_counts(tmp_path: Path) -> None:
    for folder in [tmp_path, *tmp_path.parents[:2]]:
        folder.chmod(0o755)
    services = yaml.safe_load((REPO / "deploy/compose.yaml").read_text())["services"]
    node = Node(tmp_path, BINARY)
    try:
        pods = {}
        given = {"master": {}, "slave": {}}
        for name in ("master", "slave"):
            service = services[name]
            pods[name] = pod = Pod(node, name, {}, args=service["command"], memory=512 * 2**20)
            # What the image says, and what is set by default: the others are handed on only if they are set.
            pod.env = {"TALLY_DATA_DIR": "/var/lib/tally"}
            pod.env |= {key: value for key, value in service["environment"].items() if value and "$" not in value}
            # Docker makes a new volume as the folder is in the image.
            volume = tmp_path / f"{name}-volume"
            volume.mkdir(mode=0o700)
            os.chown(volume, pod.user, pod.group)
            pod.mounts["/var/lib/tally"] = (volume, False)
        pods["slave"].reaches(pods["master"])
        node.names({"master": pods["master"].address})
        for name in ("master", "slave"):
            health = services[name]["healthcheck"]["test"]
            assert health[0] == "CMD"
            if name == "master":
                # As the file's first lines say: before it starts.
                make = ["keys", "create", "--name", "me", "--scope", "admin"]
                key = pods[name].tell("/usr/bin/tally", *make).strip()
                given["slave"]["TALLY_TOKEN"] = pods[name].tell("/usr/bin/tally", "keys", "join-token").strip()
            pods[name].env |= given[name]
            pods[name].start()
            until(f"{name} is healthy", lambda pod=pods[name], health=health: pod.run(*health[1:]) == 0)
        url = f"http://{pods['master'].address}"
        assert node.fetch(f"{url}:8080/metrics") is None and node.fetch(f"{url}:8080/metrics", key)
        until("the slave has joined", lambda: json.loads(node.fetch(f"{url}:8080/health", key))["slaves"] == 1)
        totals = tmp_path / "totals.csv"
        submit = ["submit", REPO / "examples/plays.csv", "--wait", "-o", totals, "--master", f"{url}:7070"]
        sh("ip", "netns", "exec", node.name, "env", f"TALLY_API_KEY={key}", BINARY, *submit)
        sh(BINARY, "count", REPO / "examples/plays.csv", "-o", tmp_path / "counted.csv")
        assert totals.read_bytes() == (tmp_path / "counted.csv").read_bytes()
        for name in ("slave", "master"):
            grace = int(services[name]["stop_grace_period"].removesuffix("s"))
            assert pods[name].stop(patience=grace)[0] == 0
    finally:
        node.close()


def test_metrics_that_are_asked_for_exist(cluster: Cluster) -> None:
    cluster.start_one(cluster.master, MASTER)
    told = set(re.findall(r"^# TYPE (\S+)", cluster.metrics(), re.MULTILINE))
    asked = {}
    for file in ("production", "keda"):
        manifests = Manifests(RENDERED / f"{file}.yaml")
        for scaler in manifests.kind("HorizontalPodAutoscaler"):
            for metric in scaler["spec"]["metrics"]:
                if metric["type"] == "External":
                    asked["HorizontalPodAutoscaler"] = metric["external"]["metric"]["name"]
        for scaled in manifests.kind("ScaledObject"):
            assert not manifests.kind("HorizontalPodAutoscaler"), "two that scale the same"
            for trigger in scaled["spec"]["triggers"]:
                asked["ScaledObject"] = trigger["metadata"]["query"]
        for rules in manifests.kind("PrometheusRule"):
            for rule in (rule for group in rules["spec"]["groups"] for rule in group["rules"]):
                asked[rule["alert"]] = rule["expr"]
    adapter = yaml.safe_load((REPO / "deploy/kubernetes/prometheus-adapter.yaml").read_text())
    asked["adapter"] = adapter["rules"]["external"][0]["metricsQuery"]
    assert {"HorizontalPodAutoscaler", "ScaledObject"} < set(asked)
    for who, expression in asked.items():
        named = set(re.findall(r"\btally_\w+", expression))
        assert named, who
        missing = {name for name in named if re.sub(r"_(bucket|sum|count)$", "", name) not in told}
        assert not missing, f"{who} asks for {missing}"
