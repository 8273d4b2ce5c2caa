"""What has to agree between files, without running anything but `--help`."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

sys.path.insert(0, str(Path(__file__).resolve().parent))
from pods import HERE, Manifests  # noqa: E402

REPO = HERE.parent.parent
DEPLOY = REPO / "deploy"
BINARY = Path(os.environ.get("TALLY_BINARY", REPO / "target/debug/tally")).resolve()
RENDERED = Path(os.environ.get("TALLY_MANIFESTS", REPO / "target/manifests"))
rendered = pytest.mark.skipif(not RENDERED.exists(), reason="scripts/manifests render has not run")
runnable = pytest.mark.skipif(not BINARY.exists(), reason=f"there is no {BINARY}: cargo build -p tally-cli")


def compose() -> dict:
    return yaml.safe_load((DEPLOY / "compose.yaml").read_text())


def unit(name: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in (DEPLOY / "systemd" / name).read_text().splitlines():
        if "=" in line and not line.startswith("#"):
            key, value = line.split("=", 1)
            found.setdefault(key, []).append(value)
    return found


def pod_spec(manifests: Manifests, kind: str, name: str) -> dict:
    return manifests.one(kind, name)["spec"]["template"]["spec"]


def test_alerts_are_the_same_for_prometheus_and_its_operator() -> None:
    rule = yaml.safe_load((DEPLOY / "kubernetes/components/monitoring/alerts.yaml").read_text())
    assert rule["spec"] == yaml.safe_load((DEPLOY / "alerts.yml").read_text())


def test_every_alert_says_what_to_do() -> None:
    groups = yaml.safe_load((DEPLOY / "alerts.yml").read_text())["groups"]
    alerts = {rule["alert"] for group in groups for rule in group["rules"]}
    rows = re.findall(r"^\| (Tally\w+(?:, Tally\w+)*) \|", (REPO / "docs/operations.md").read_text(), re.MULTILINE)
    assert {name for row in rows for name in row.split(", ")} == alerts


def test_slaves_have_longer_to_stop_than_they_take() -> None:
    toml = tomllib.loads((DEPLOY / "kubernetes/base/tally.toml").read_text())
    slave = yaml.safe_load((DEPLOY / "kubernetes/base/slave.yaml").read_text())
    assert slave["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] >= toml["slave"]["grace"] + 10

    slave = compose()["services"]["slave"]
    grace = int(slave["command"][slave["command"].index("--grace") + 1])
    assert int(slave["stop_grace_period"].removesuffix("s")) >= grace + 10

    slave = unit("tally-slave@.service")
    grace = next(int(one.split("=")[1]) for one in slave["Environment"] if one.startswith("TALLY_GRACE="))
    assert int(slave["TimeoutStopSec"][0]) >= grace + 10


@rendered
@pytest.mark.parametrize("file", sorted(RENDERED.glob("*.yaml")), ids=lambda file: file.stem)
def test_nobody_has_more_rights_than_needed(file: Path) -> None:
    manifests = Manifests(file)
    assert not [one for one in manifests.all if "Role" in one["kind"] or one["kind"] == "Secret"]
    namespace = manifests.one("Namespace", "tally")["metadata"]["labels"]
    assert namespace["pod-security.kubernetes.io/enforce"] == "restricted"
    for kind, name in (("StatefulSet", "tally-master"), ("Deployment", "tally-slave")):
        spec = pod_spec(manifests, kind, name)
        assert spec["automountServiceAccountToken"] is False
        account = manifests.one("ServiceAccount", spec["serviceAccountName"])
        assert account["automountServiceAccountToken"] is False
        context = spec["securityContext"]
        assert context["runAsNonRoot"] and context["seccompProfile"] == {"type": "RuntimeDefault"}
        (container,) = spec["containers"]
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, "readOnlyRootFilesystem": True,
        }
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec)


@rendered
def test_production_has_its_limits() -> None:
    manifests = Manifests(RENDERED / "production.yaml")
    for kind, name in (("StatefulSet", "tally-master"), ("Deployment", "tally-slave")):
        (container,) = pod_spec(manifests, kind, name)["containers"]
        assert container["resources"]["limits"]["memory"] == "512M"
        assert container["resources"]["requests"] == container["resources"]["limits"]
    assert "replicas" not in manifests.one("Deployment", "tally-slave")["spec"], "the autoscaler says how many"


@rendered
@runnable
def test_every_variable_and_key_is_one_that_the_binary_knows() -> None:
    known = {}
    for command in ("master", "slave", "health"):
        told = subprocess.run([BINARY, command, "--help"], capture_output=True, text=True, check=True).stdout
        known[command] = set(re.findall(r"\bTALLY_\w+", told)), set(re.findall(r"--([a-z][a-z-]*)", told))
    toml = tomllib.loads((DEPLOY / "kubernetes/base/tally.toml").read_text())
    unit_toml = tomllib.loads((DEPLOY / "systemd/tally.toml").read_text())
    for file in (toml, unit_toml):
        for command, keys in file.items():
            assert set(keys) <= known[command][1], command
    given: dict[str, list[str]] = {"master": [], "slave": []}
    for file in RENDERED.glob("*.yaml"):
        manifests = Manifests(file)
        for kind, name, command in (
            ("StatefulSet", "tally-master", "master"), ("Deployment", "tally-slave", "slave"),
        ):
            (container,) = pod_spec(manifests, kind, name)["containers"]
            given[command] += [one["name"] for one in container["env"]]
    for command in given:
        given[command] += compose()["services"][command]["environment"]
    for name, command in (("tally-master.service", "master"), ("tally-slave@.service", "slave")):
        given[command] += [one.split("=")[0] for one in unit(name)["Environment"]]
    for command, names in given.items():
        ours = {name for name in names if name.startswith("TALLY_")}
        assert ours <= known[command][0], command
    # The probe of slaves finds the master by the same variable.
    assert "TALLY_MASTER" in known["health"][0]


def test_the_image_is_what_the_manifests_take_it_for() -> None:
    dockerfile = (DEPLOY / "Dockerfile").read_text()
    user = re.search(r"^USER (\d+):(\d+)$", dockerfile, re.MULTILINE)
    for file in ("master", "slave"):
        spec = yaml.safe_load((DEPLOY / f"kubernetes/base/{file}.yaml").read_text())["spec"]["template"]["spec"]
        context = spec["securityContext"]
        assert (str(context["runAsUser"]), str(context["runAsGroup"])) == user.groups()
    version = re.search(r'^version = "(.*)"', (REPO / "Cargo.toml").read_text(), re.MULTILINE)[1]
    assert f"ARG VERSION={version}\n" in dockerfile
    for overlay in ("local", "production"):
        kustomization = yaml.safe_load((DEPLOY / f"kubernetes/overlays/{overlay}/kustomization.yaml").read_text())
        assert [image["newTag"] for image in kustomization["images"]] == [version]
    assert compose()["services"]["master"]["image"] == f"${{TALLY_IMAGE:-tally:{version}}}"
    assert f"TALLY_IMAGE=tally:{version}\n" in (DEPLOY / ".env.example").read_text()
    assert re.search(r"^ARG RUST=(.*)$", dockerfile, re.MULTILINE)


def test_services_of_compose_have_no_more_rights_than_needed() -> None:
    for name, service in compose()["services"].items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert "memory" in service["deploy"]["resources"]["limits"], name
        assert "healthcheck" in service, name
        assert not {"privileged", "cap_add", "network_mode"} & set(service), name
        # What is published is published to this machine alone.
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", [])), name
    assert compose()["services"]["slave"]["networks"] == ["cluster"]
    assert compose()["networks"]["cluster"] == {"internal": True}
