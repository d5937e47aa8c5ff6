"""The manifests come up: they are what Kubernetes takes, and their settings are what the service takes."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from entrypoints.server.process import SHUTDOWN_SECONDS
from entrypoints.wiring.environment import ConfigurationError, load_settings
from entrypoints.wiring.photo_processing import MAX_QUEUED
from entrypoints.wiring.settings import SECRETS
from entrypoints.wiring.surroundings import folders_of
from tests.deploy.test_packaging import IMAGE_SETTINGS

DEPLOY = Path(__file__).parents[2] / "deploy"
BASE = DEPLOY / "kubernetes"
KUSTOMIZATION = yaml.safe_load((BASE / "kustomization.yaml").read_text())
CORE_GROUPS = re.compile(r"v1|apps/v1|batch/v1|policy/v1|autoscaling/v2|networking\.k8s\.io/v1")
PATHS = {"/metrics", "/health/live", "/health/ready"}
"""What the metrics port answers."""
VERSIONS = ("1.29", "1.37")
"""The oldest that anybody should still run, and the newest."""


def manifests(path: Path) -> Iterator[dict[str, Any]]:
    yield from filter(None, yaml.safe_load_all(path.read_text()))


ALL = [manifest for path in sorted(BASE.glob("*.yaml")) if path.stem != "kustomization" for manifest in manifests(path)]
RENDERED = [manifest for name in KUSTOMIZATION["resources"] for manifest in manifests(BASE / name)]
EXAMPLE = list(manifests(BASE / "secret.example.yaml"))
CLOUD_RUN = [manifest for path in sorted((DEPLOY / "cloud-run").glob("*.yaml")) for manifest in manifests(path)]


def named(kind: str, name: str = "tryon-images") -> dict[str, Any]:
    (found,) = [found for found in [*RENDERED, *EXAMPLE] if (found["kind"], found["metadata"]["name"]) == (kind, name)]
    return found


def pod_of(manifest: dict[str, Any]) -> dict[str, Any]:
    spec: dict[str, Any] = manifest["spec"]
    while "template" in spec or "jobTemplate" in spec:
        spec = (spec.get("jobTemplate") or spec["template"])["spec"]
    return spec


PODS = {manifest["metadata"]["name"]: pod_of(manifest) for manifest in RENDERED if "containers" in str(manifest)}


def environment(pod: dict[str, Any]) -> dict[str, str]:
    """What the container gets, with the example's secrets."""
    (container,) = pod["containers"]
    given: dict[str, str] = {}
    for source in container.get("envFrom", ()):
        kind, name = next((kind, source[ref]["name"]) for ref, kind in REFERENCES.items() if ref in source)
        given |= named(kind, name).get("data") or named(kind, name)["stringData"] | OF_ONES_OWN
    return given | {each["name"]: each.get("value", SECRET_VALUE) for each in container.get("env", ())}


REFERENCES = {"configMapRef": "ConfigMap", "secretRef": "Secret"}
OF_ONES_OWN = {"TRYON_PSEUDONYM_KEY": "k" * 64}
SECRET_VALUE = "postgresql+asyncpg://tryon@/tryon?host=/cloudsql/one"


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("manifest", ALL, ids=lambda each: f"{each['kind']} {each['metadata']['name']}")
def test_kubernetes_takes_every_manifest(manifest: dict[str, Any], version: str) -> None:
    if CORE_GROUPS.fullmatch(manifest["apiVersion"]):
        kubernetes_validate.validate(manifest, version, strict=True)
    else:
        assert manifest["kind"] == "ServiceMonitor", "nothing else needs an operator"


def test_the_base_holds_every_manifest_but_the_example_of_secrets() -> None:
    here = {path.name for path in BASE.glob("*.yaml")} - {"kustomization.yaml", "secret.example.yaml"}
    assert set(KUSTOMIZATION["resources"]) == here
    kinds = {manifest["kind"] for manifest in RENDERED}
    assert kinds >= {"Deployment", "Service", "Ingress", "HorizontalPodAutoscaler", "PodDisruptionBudget"}
    assert kinds >= {"NetworkPolicy", "Job", "CronJob", "ServiceMonitor"}


@pytest.mark.parametrize("pod", PODS.values(), ids=PODS)
def test_the_service_takes_the_settings_of_every_pod(pod: dict[str, Any]) -> None:
    settings = load_settings(IMAGE_SETTINGS | environment(pod))
    assert settings.database_url, "nothing is kept in a pod"
    assert not folders_of(settings), "no pod may write but to /tmp"


@pytest.mark.parametrize("manifest", CLOUD_RUN, ids=lambda each: each["kind"])
def test_the_service_takes_the_settings_of_cloud_run(manifest: dict[str, Any]) -> None:
    pod = pod_of(manifest)
    settings = load_settings(IMAGE_SETTINGS | environment(pod))
    assert settings.database_url
    assert not folders_of(settings)
    if manifest["kind"] == "Service":
        assert 1 < pod["containerConcurrency"] <= MAX_QUEUED
        assert settings.seconds_to_drain == 0
        assert settings.head_seconds > 600


@pytest.mark.parametrize("pod", PODS.values(), ids=PODS)
def test_no_pod_is_root_writes_to_its_root_or_hears_of_other_services(pod: dict[str, Any]) -> None:
    (container,) = pod["containers"]
    assert pod["enableServiceLinks"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container["image"] == KUSTOMIZATION["images"][0]["name"]
    assert container["resources"]["limits"]["memory"]
    assert {mount["mountPath"] for mount in container["volumeMounts"]} == {"/tmp", "/etc/tryon"}


def test_a_server_that_uses_a_bucket_and_postgresql_keeps_no_file() -> None:
    settings = load_settings(IMAGE_SETTINGS | environment(PODS["tryon-images"]))
    assert not settings.keeps_files
    assert not settings.serves_alone


def test_a_key_that_everybody_knows_is_no_key() -> None:
    with pytest.raises(ConfigurationError, match="TRYON_PSEUDONYM_KEY"):
        load_settings(named("Secret")["stringData"])


def test_the_example_names_every_secret() -> None:
    assert named("Secret")["stringData"].keys() == {f"TRYON_{name.upper()}" for name in SECRETS}


def test_a_pod_has_the_time_that_it_needs_to_end() -> None:
    settings = load_settings(IMAGE_SETTINGS | environment(PODS["tryon-images"]))
    assert settings.drain_seconds
    assert PODS["tryon-images"]["terminationGracePeriodSeconds"] > settings.drain_seconds + SHUTDOWN_SECONDS
    assert settings.head_seconds > 600, "Google's balancers keep connections that long"


def test_probes_and_scrapes_go_to_the_port_that_no_ingress_leads_to() -> None:
    settings = load_settings(IMAGE_SETTINGS | environment(PODS["tryon-images"]))
    (container,) = PODS["tryon-images"]["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports == {"http": settings.port, "metrics": settings.metrics_port}
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container[probe]["httpGet"]["port"] == "metrics"
        assert container[probe]["httpGet"]["path"] in PATHS
    (backend,) = named("Ingress")["spec"]["rules"][0]["http"]["paths"]
    assert backend["backend"]["service"] == {"name": "tryon-images", "port": {"name": "http"}}
    assert [port["name"] for port in named("Service")["spec"]["ports"]] == ["http"]
    monitor, scraped = named("ServiceMonitor")["spec"], named("Service", "tryon-images-metrics")
    assert monitor["selector"]["matchLabels"].items() <= scraped["metadata"]["labels"].items()
    assert monitor["endpoints"][0]["port"] in [port["name"] for port in scraped["spec"]["ports"]]
    assert monitor["endpoints"][0]["path"] in PATHS


def test_selectors_find_the_pods_they_are_meant_for() -> None:
    labels = named("Deployment")["spec"]["template"]["metadata"]["labels"]
    for service in ("tryon-images", "tryon-images-metrics"):
        assert named("Service", service)["spec"]["selector"].items() <= labels.items()
    assert named("PodDisruptionBudget")["spec"]["selector"]["matchLabels"].items() <= labels.items()
    assert named("HorizontalPodAutoscaler")["spec"]["scaleTargetRef"]["name"] == named("Deployment")["metadata"]["name"]


def test_a_pod_gets_to_nothing_inside_but_names_and_the_database() -> None:
    nothing = named("NetworkPolicy", "tryon-images-nothing")["spec"]
    assert set(nothing["policyTypes"]) == {"Ingress", "Egress"}
    assert "ingress" not in nothing
    assert "egress" not in nothing
    outside = named("NetworkPolicy", "tryon-images-server")["spec"]["egress"][0]
    assert outside["ports"] == [{"protocol": "TCP", "port": 443}]
    private = {"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "100.64.0.0/10"}
    assert set(outside["to"][0]["ipBlock"]["except"]) == private


def test_the_autoscaler_goes_by_cpu_and_by_photos_that_wait() -> None:
    by_kind = {metric["type"]: metric for metric in named("HorizontalPodAutoscaler")["spec"]["metrics"]}
    assert by_kind["Resource"]["resource"]["name"] == "cpu"
    assert by_kind["Pods"]["pods"]["metric"]["name"] == "tryon_photos_queued"


def test_the_ingress_keeps_no_paths() -> None:
    assert named("Ingress")["metadata"]["annotations"]["nginx.ingress.kubernetes.io/enable-access-log"] == "false"


def test_an_upload_as_large_as_is_allowed_passes_the_ingress() -> None:
    allowed = named("Ingress")["metadata"]["annotations"]["nginx.ingress.kubernetes.io/proxy-body-size"]
    assert int(allowed.removesuffix("m")) * 1024**2 > 3 * load_settings({}).max_file_bytes
