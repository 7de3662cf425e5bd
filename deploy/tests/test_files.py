"""What deploy/ holds is what the tools of the field accept, and says what Campana understands.

No container engine is needed: charts are rendered by Helm's own library, the rest is read by its own program where
that is installed.
"""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest

from campana.settings import SECTIONS, load

yaml = pytest.importorskip("yaml", reason="pip install '.[deploy]'")
helm = pytest.importorskip("helm_python", reason="pip install '.[deploy]'")
kubernetes_validate = pytest.importorskip("kubernetes_validate", reason="pip install '.[deploy]'")

DEPLOY = Path(__file__).parents[1]
SECRET = {"secret": {"existing": "campana"}}
VALUES: dict[str, dict[str, Any]] = {
    "the least": SECRET,
    "everything": {
        "secret": {"create": True, "values": {"CAMPANA_SECRETS_KEY": "x" * 32}},
        "notifier": "nats://nats:4222",
        "config": '[server]\nport = 8600\n\n[[processors]]\narn = "arn:aws:lambda:"\ntarget = "https://example.com/p"\n',
        "env": {"CAMPANA_LOG__LEVEL": "debug"},
        "autoscaling": {"targetSessionsPerNode": 5000},
        "ingress": {"enabled": True, "className": "haproxy", "tlsSecret": "tls", "annotations": {"a": "b"}},
        "serviceMonitor": {"enabled": True},
        "imagePullSecrets": [{"name": "registry"}],
        "podAnnotations": {"c": "d"},
        "nodeSelector": {"e": "f"},
        "tolerations": [{"key": "g", "operator": "Exists"}],
        "affinity": {"nodeAffinity": {}},
    },
    "no autoscaling": {**SECRET, "autoscaling": {"enabled": False}, "replicas": 3},
}


def rendered(values: dict[str, Any]) -> list[dict[str, Any]]:
    """The manifests of the chart with these values."""
    chart = helm.Chart.load(DEPLOY / "helm" / "campana")
    files = chart.render(values, name="chat", namespace="chat")
    return [
        manifest
        for name, text in sorted(files.items())
        if name.endswith(".yaml")
        for manifest in yaml.safe_load_all(text)
        if manifest
    ]


@pytest.mark.parametrize("name", VALUES)
def test_the_chart_renders_to_what_kubernetes_takes(name: str) -> None:
    manifests = rendered(VALUES[name])

    assert {"Deployment", "Service", "PodDisruptionBudget"} <= {each["kind"] for each in manifests}
    for manifest in manifests:
        if manifest["apiVersion"].startswith("monitoring.coreos.com/"):
            continue  # the Prometheus operator's own
        kubernetes_validate.validate(manifest, "1.31", strict=True)


def test_the_chart_asks_for_its_secret() -> None:
    with pytest.raises(helm.HelmError, match=r"secret\.existing"):
        rendered({})


def test_the_settings_in_the_chart_are_taken(tmp_path: Path) -> None:
    manifests = {each["kind"]: each for each in rendered(VALUES["everything"])}
    (tmp_path / "campana.toml").write_text(manifests["ConfigMap"]["data"]["campana.toml"])
    (container,) = manifests["Deployment"]["spec"]["template"]["spec"]["containers"]
    environment = {each["name"]: each["value"] for each in container["env"]}
    environment["CAMPANA_DATABASE__URL"] = "postgresql://campana@db/campana"

    settings = load(tmp_path / "campana.toml", environment, {})

    (monitor,) = manifests["ServiceMonitor"]["spec"]["endpoints"]
    ports = {each["name"]: each["port"] for each in manifests["Service"]["spec"]["ports"]}
    assert str(settings.metrics.listen).endswith(f":{ports[monitor['port']]}")
    assert str(settings.notifier.url) == "nats://nats:4222"
    assert [each.arn for each in settings.processors] == ["arn:aws:lambda:"]
    assert container["args"] == ["serve", "--config", "/etc/campana/campana.toml"]


def seconds(text: str) -> int:
    """Of a time as Compose and systemd write it."""
    return int(text.removesuffix("s"))


def test_nobody_kills_a_node_while_it_drains(tmp_path: Path) -> None:
    (deployment,) = [each for each in rendered(SECRET) if each["kind"] == "Deployment"]
    pod = deployment["spec"]["template"]["spec"]
    compose = yaml.safe_load((DEPLOY / "compose" / "compose.yaml").read_text())["x-node"]
    (timeout,) = re.findall(r"^TimeoutStopSec=(\S+)$", (DEPLOY / "systemd" / "campana.service").read_text(), re.M)
    for grace, environment in (
        (pod["terminationGracePeriodSeconds"], {each["name"]: each["value"] for each in pod["containers"][0]["env"]}),
        (seconds(compose["stop_grace_period"]), compose["environment"]),
        (seconds(timeout), {}),
    ):
        given = {name: value for name, value in environment.items() if name.startswith("CAMPANA_SERVER__DRAIN")}
        assert load(None, given, {}).server.stop_max_s < grace


def test_proxies_notice_before_a_node_takes_no_more_requests() -> None:
    (deployment,) = [each for each in rendered(SECRET) if each["kind"] == "Deployment"]
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    probe = container["readinessProbe"]
    (notice,) = [each["value"] for each in container["env"] if each["name"] == "CAMPANA_SERVER__DRAIN_NOTICE_S"]
    assert probe["periodSeconds"] * probe["failureThreshold"] < int(notice)

    compose = yaml.safe_load((DEPLOY / "compose" / "compose.yaml").read_text())["x-node"]
    (found,) = re.findall(r"check inter (\d+)s fall (\d+)", (DEPLOY / "compose" / "haproxy.cfg").read_text())
    checks = [int(each) for each in found]
    # One has just been answered when the node is asked to stop, and the last may take as long as the pause.
    assert checks[0] * (checks[1] + 1) < int(compose["environment"]["CAMPANA_SERVER__DRAIN_NOTICE_S"])


def known_variables() -> set[str]:
    found = {"CAMPANA_ROOT_ACCESS_KEY_ID", "CAMPANA_ROOT_SECRET_ACCESS_KEY", "CAMPANA_SECRETS_KEY"}
    for name, section in SECTIONS.items():
        assert is_dataclass(section)
        found |= {f"CAMPANA_{name}__{part.name}".upper() for part in fields(section)}
    return found


@pytest.mark.parametrize("file", ["Dockerfile", "compose/compose.yaml", "helm/campana/templates/deployment.yaml"])
def test_every_variable_is_one_of_campanas(file: str) -> None:
    used = set(re.findall(r"CAMPANA_[A-Z]+__[A-Z_]+", (DEPLOY / file).read_text()))

    assert used
    assert used <= known_variables()


def test_the_image_is_built_as_its_linter_likes_it() -> None:
    hadolint = shutil.which("hadolint", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    if hadolint is None:
        pytest.skip("hadolint is not installed: pip install '.[deploy]'")

    lint = subprocess.run([hadolint, DEPLOY / "Dockerfile"], capture_output=True, text=True, check=False)

    assert lint.returncode == 0, lint.stdout


def test_the_images_commands_work_in_a_clean_folder(tmp_path: Path) -> None:
    text = (DEPLOY / "Dockerfile").read_text()
    copied = [
        line.removeprefix("!")
        for line in (DEPLOY.parent / ".dockerignore").read_text().splitlines()
        if line.startswith("!")
    ]
    for name in copied:
        source = DEPLOY.parent / name
        if source.is_dir():
            shutil.copytree(source, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        else:
            shutil.copy(source, tmp_path / name)
    (command,) = re.findall(r'pip install --no-cache-dir --no-compile "(\.\[.*?\])"', text)

    # What pip would be handed: the metadata is complete without anything that .dockerignore leaves out.
    check = subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--no-deps", command],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert check.returncode == 0, check.stderr


def test_compose_is_yaml_whose_services_exist_and_wait_for_one_another() -> None:
    tree = yaml.safe_load((DEPLOY / "compose" / "compose.yaml").read_text())
    example = dict(
        line.split("=", 1)
        for line in (DEPLOY / "compose" / "example.env").read_text().splitlines()
        if line and not line.startswith("#")
    )

    services = tree["services"]
    assert {"node-1", "node-2", "postgres", "nats", "proxy"} <= set(services)
    for service in services.values():
        assert set(service.get("depends_on", {})) <= set(services)
    needed = set(re.findall(r"\$\{([A-Z_]+)", (DEPLOY / "compose" / "compose.yaml").read_text()))
    assert needed == set(example)
    nodes = re.findall(r"server (\S+) (\S+):8600", (DEPLOY / "compose" / "haproxy.cfg").read_text())
    assert nodes == [(name, name) for name in services if name.startswith("node-")]


def test_the_proxy_takes_its_configuration(tmp_path: Path) -> None:
    haproxy = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin")
    if haproxy is None:
        pytest.skip("haproxy is not installed")
    subprocess.run([sys.executable, "-m", "trustme", "-q", "-d", tmp_path, "-i", "localhost"], check=True)
    site = tmp_path / "site.pem"
    site.write_text((tmp_path / "server.pem").read_text() + (tmp_path / "server.key").read_text())
    config = (DEPLOY / "compose" / "haproxy.cfg").read_text().replace("/certificates/site.pem", str(site))
    (tmp_path / "haproxy.cfg").write_text(config)

    check = subprocess.run([haproxy, "-c", "-f", tmp_path / "haproxy.cfg"], capture_output=True, text=True, check=False)

    assert check.returncode == 0, check.stderr


def test_systemd_takes_its_unit(tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd is not installed")
    unit = (DEPLOY / "systemd" / "campana.service").read_text()
    (tmp_path / "campana.service").write_text(unit.replace("/opt/campana/bin/campana", "/bin/true"))

    check = subprocess.run(
        [analyze, "verify", "--man=no", tmp_path / "campana.service"], capture_output=True, text=True, check=False
    )

    assert (check.returncode, check.stderr) == (0, "")
