"""Dockerfiles, the composition and the Kubernetes manifests, each held to the real tool it is made for."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from cloudcoil.models.prometheus_operator.v1 import ServiceMonitor

from server.settings import load_settings

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
OVERLAYS = DEPLOY / "kubernetes" / "overlays"
BIN = Path(sys.executable).parent
DOCKERFILES = sorted(DEPLOY.rglob("*Dockerfile"))
Manifests = list[dict[str, Any]]


def run(*command: object) -> str:
    """Run one of the tools of the environment; its output fails the test where it does."""
    program, *arguments = map(str, command)
    result = subprocess.run([BIN / program, *arguments], capture_output=True, text=True, check=False, cwd=ROOT)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.fixture(scope="module", params=sorted(path.name for path in OVERLAYS.iterdir()))
def manifests(request: pytest.FixtureRequest) -> Manifests:
    """What `kubectl apply -k` would send."""
    return list(yaml.safe_load_all(run("kubectl", "kustomize", OVERLAYS / request.param)))


def one(manifests: Manifests, kind: str) -> dict[str, Any]:
    """The only manifest of a kind."""
    (found,) = [each for each in manifests if each["kind"] == kind]
    return found


def pod(manifests: Manifests) -> dict[str, Any]:
    """The Deployment's pod."""
    spec: dict[str, Any] = one(manifests, "Deployment")["spec"]["template"]["spec"]
    return spec


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: str(path.relative_to(DEPLOY)))
def test_hadolint_finds_nothing(path: Path) -> None:
    """Every rule of it, but those that a line excepts with a reason."""
    assert run("hadolint", path) == ""


def test_the_image_copies_everything_that_the_wheel_is_made_of() -> None:
    """The packages of the wheel, in the Dockerfile and through .dockerignore."""
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    dockerfile, ignored = (DEPLOY / "Dockerfile").read_text(), (ROOT / ".dockerignore").read_text().splitlines()
    for package in packages["packages"]:
        assert f"COPY {package} {package}\n" in dockerfile
        assert f"!{package}" in ignored


def test_compose_reads_the_composition() -> None:
    """Docker's own client, with all paths and references resolved; every mounted file of ours is there."""
    composition = yaml.safe_load(run("docker-compose", "-f", DEPLOY / "compose" / "compose.yaml", "config"))
    assert set(composition["services"]) == {"server", "load", "prometheus", "grafana"}
    for service in composition["services"].values():
        assert all(port["host_ip"] == "127.0.0.1" for port in service["ports"])
        mounts = [each["source"] for each in service.get("volumes", []) if each["type"] == "bind"]
        assert [path for path in mounts if not Path(path).exists() and Path(path) != ROOT / "build" / "bundles"] == []


def test_kubernetes_accepts_every_manifest(manifests: Manifests) -> None:
    """By the strict schemas of Kubernetes' own API, and by the operator's for its ServiceMonitor."""
    for manifest in manifests:
        if manifest["kind"] == "ServiceMonitor":
            known = ServiceMonitor.model_validate(manifest).model_dump(by_alias=True, exclude_none=True, mode="json")
            assert known["spec"] == manifest["spec"]  # a field that it does not know would be lost
        else:
            kubernetes_validate.validate(manifest, "1.34", strict=True)


def test_kubernetes_would_not_accept_a_wrong_one(manifests: Manifests) -> None:
    """The schemas are strict: a misspelt field is an error."""
    wrong = one(manifests, "Deployment")
    wrong["spec"]["template"]["spec"]["enableServiceLink"] = False
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, "1.34", strict=True)
    del wrong["spec"]["template"]["spec"]["enableServiceLink"]


def test_every_selector_takes_our_pods_and_no_others(manifests: Manifests) -> None:
    """An empty selector would be everyone's."""
    labels = one(manifests, "Deployment")["spec"]["template"]["metadata"]["labels"]
    selectors = [
        one(manifests, "Deployment")["spec"]["selector"]["matchLabels"],
        one(manifests, "Service")["spec"]["selector"],
        one(manifests, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        one(manifests, "ServiceMonitor")["spec"]["selector"]["matchLabels"],
        *(each["labelSelector"]["matchLabels"] for each in pod(manifests)["topologySpreadConstraints"]),
    ]
    assert all(selector == labels for selector in selectors)
    assert one(manifests, "Service")["metadata"]["labels"] == labels  # what the ServiceMonitor selects


def test_the_pod_has_what_the_server_needs(manifests: Manifests) -> None:
    """Not root, a root that cannot be written to, no injected variables, time to drain, whole CPUs without a quota."""
    spec = pod(manifests)
    assert spec["enableServiceLinks"] is False
    assert spec["securityContext"]["runAsNonRoot"] is True
    for container in (*spec["initContainers"], *spec["containers"]):
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert "cpu" not in container["resources"]["limits"]
        assert re.fullmatch(r"\d+", container["resources"]["requests"]["cpu"])
    server = spec["containers"][0]
    assert {"startupProbe", "readinessProbe", "livenessProbe"} <= set(server)
    volumes = {volume["name"] for volume in spec["volumes"]}
    assert {mount["name"] for mount in server["volumeMounts"]} <= volumes


def test_the_generated_settings_are_the_servers(manifests: Manifests, tmp_path: Path) -> None:
    """The server reads the ConfigMap's file; it listens on every interface, and drains before it is killed."""
    (config,) = [each for each in manifests if each["kind"] == "ConfigMap" and "settings.toml" in each["data"]]
    path = tmp_path / "settings.toml"
    path.write_text(config["data"]["settings.toml"])
    settings = load_settings(path, {}, {})
    assert (settings.host, settings.metrics_host) == ("0.0.0.0", "0.0.0.0")  # noqa: S104 - what is asked
    assert settings.drain_delay_s + settings.grace_s + 10 <= pod(manifests)["terminationGracePeriodSeconds"]
    assert str(settings.workers) == pod(manifests)["containers"][0]["resources"]["requests"]["cpu"]
    mounted = {volume["configMap"]["name"] for volume in pod(manifests)["volumes"] if "configMap" in volume}
    assert mounted == {config["metadata"]["name"]}


def test_the_compositions_settings_are_the_demos() -> None:
    """But for the addresses and the bundle root of the container."""
    demo = tomllib.loads((DEPLOY / "demo.toml").read_text())
    composed = tomllib.loads((DEPLOY / "compose" / "settings.toml").read_text())
    assert composed.pop("metrics") == {"host": composed["server"].pop("host")}
    assert composed["bundle"].pop("root") == "/bundles"
    del demo["bundle"]["root"]
    assert composed == demo
