"""What ``deploy/`` says of commands, settings, ports, probes and times is so."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from configparser import RawConfigParser
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from honcho.environ import parse, parse_procfile

from api.server import STOP_SECONDS
from devstack.server import PROJECT
from migrations.settings import ProviderSettings, Settings
from tests.fakes.api_client import application
from tests.harness.commands import understand

DEPLOY = PROJECT / "deploy"
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
COMPOSE = DEPLOY / "docker" / "compose.yaml"
MANIFESTS = sorted((DEPLOY / "kubernetes").glob("*.yaml"))
TEXTS = [path for path in sorted(DEPLOY.rglob("*")) if path.is_file()]
PROCESSES = dict(parse_procfile((PROJECT / "Procfile").read_text()).processes)
#: Read by ourselves, before there are settings.
NOT_SETTINGS = {"REEMBED_ENV_FILE"}
#: What differs from host to host, or is another address within a container.
_OF_A_PLACE = {"--hostname", "--concurrency", "--address", "--port"}
_DEFAULTS = {name: field.default for name, field in Settings.model_fields.items()}
#: After SIGTERM a worker's calls in hand come to their ends, then it puts its work down.
_WORKER_SECONDS = _DEFAULTS["provider_timeout_seconds"] + _DEFAULTS["milvus_timeout_seconds"]


def unit(path: Path) -> dict[str, dict[str, list[str]]]:
    """Sections, keys and the values of each, since one may stand several times."""
    found: dict[str, dict[str, list[str]]] = {}
    section = ""
    for line in path.read_text().splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif line and not line.startswith("#"):
            name, _, value = line.partition("=")
            found.setdefault(section, {}).setdefault(name, []).append(value)
    return found


def compose() -> dict[str, Any]:
    """As Compose has it with the defaults of its variables; passwords are 'x'."""
    text = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", COMPOSE.read_text())
    found: dict[str, Any] = yaml.safe_load(re.sub(r"\$\{\w+:\?[^}]*\}", "x", text))
    return found


def ours() -> dict[str, Any]:
    services: dict[str, Any] = compose()["services"]
    return {name: told for name, told in services.items() if told["image"].startswith("reembed:")}


def manifests() -> Iterator[dict[str, Any]]:
    for path in MANIFESTS:
        yield from yaml.safe_load_all(path.read_text())


def pods() -> dict[str, dict[str, Any]]:
    """By component: the specification of a Pod."""
    return {
        made["metadata"]["labels"]["app.kubernetes.io/component"]: made["spec"]["template"]["spec"]
        for made in manifests()
        if made["kind"] in ("Deployment", "Job")
    }


def commands() -> dict[str, list[str]]:
    """Where it stands and what it is for → the words of a command line of ours."""
    found = {}
    for path in UNITS:
        (line,) = unit(path)["Service"]["ExecStart"]
        words = [word.replace("%%", "%").replace("%i", "1") for word in shlex.split(line)]
        words[0] = words[0].rpartition("/")[2]
        found[f"systemd {path.stem.removeprefix('reembed-').rstrip('@')}"] = words
    for name, service in ours().items():
        found[f"compose {name}"] = shlex.split(service["command"])
    for name, pod in pods().items():
        found[f"kubernetes {name}"] = pod["containers"][0]["command"]
    return found


@pytest.mark.parametrize("where", commands())
def test_every_command_line_is_understood_by_the_code(where: str) -> None:
    understand(commands()[where])


@pytest.mark.parametrize("where", commands())
def test_every_process_is_started_as_the_procfile_starts_it(where: str) -> None:
    name = where.rpartition(" ")[2]
    if name == "schema":
        assert ["celery", "-A", "worker", "reembed", "upgrade-schema"] == commands()[where]
        return
    assert as_everywhere(shlex.split(PROCESSES[name])) == as_everywhere(commands()[where])


def as_everywhere(words: list[str]) -> list[str]:
    """Without what differs from place to place, and its value."""
    kept = []
    skip = False
    for word in words:
        name = word.partition("=")[0]
        if not skip and name not in _OF_A_PLACE:
            kept.append(word)
        skip = not skip and word in _OF_A_PLACE
    return kept


@pytest.mark.parametrize("way", ["systemd", "compose", "kubernetes"])
def test_each_way_starts_the_api_both_kinds_of_workers_and_the_schema(way: str) -> None:
    started = {where.partition(" ")[2] for where in commands() if where.startswith(way)}
    assert {"api", "batch", "control", "schema"} <= started


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)
def test_every_setting_that_is_named_is_one(path: Path) -> None:
    known = {f"REEMBED_{name.upper()}" for name in Settings.model_fields} | NOT_SETTINGS
    assert set(re.findall(r"\bREEMBED_[A-Z_]+\b", path.read_text())) <= known


def test_settings_that_are_set_are_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    (config,) = [made["data"] for made in manifests() if made["kind"] == "ConfigMap"]
    composed = {name: str(v) for service in ours().values() for name, v in environment(service)}
    for name, value in {**composed, **config}.items():
        monkeypatch.setenv(name, value)
    settings = Settings(_env_file=None)
    assert _DEFAULTS["host"] != settings.host
    assert 1 == settings.trusted_proxies


def environment(service: dict[str, Any]) -> list[tuple[str, Any]]:
    return list(service.get("environment", {}).items())


def test_ports_are_those_that_the_settings_have() -> None:
    api, flower = _DEFAULTS["port"], _DEFAULTS["flower_port"]
    assert f"127.0.0.1:{api}:{api}" in ours()["api"]["ports"]
    assert f"127.0.0.1:{flower}:{flower}" in ours()["flower"]["ports"]
    assert f"--port={flower}" in shlex.split(ours()["flower"]["command"])
    (port,) = pods()["api"]["containers"][0]["ports"]
    (config,) = [made["data"] for made in manifests() if made["kind"] == "ConfigMap"]
    assert [api, str(api)] == [port["containerPort"], config["REEMBED_PORT"]]
    assert f"EXPOSE {api}" in (DEPLOY / "docker" / "Dockerfile").read_text()


def test_probes_ask_for_what_there_is() -> None:
    (container,) = pods()["api"]["containers"]
    probes = ("livenessProbe", "readinessProbe", "startupProbe")
    asked = {container[probe]["httpGet"]["path"] for probe in probes}
    asked |= set(re.findall(r":8000(/\w+)", str(ours()["api"]["healthcheck"]["test"])))
    assert asked == {"/healthz", "/readyz"}
    assert asked <= {rule.rule for rule in application().url_map.iter_rules()}
    assert {"http"} == {container[probe]["httpGet"]["port"] for probe in probes}


def test_who_is_asked_to_end_has_the_time_that_it_takes() -> None:
    for path in UNITS:
        (seconds,) = unit(path)["Service"].get("TimeoutStopSec", ["0"])
        assert needed(path.stem) < int(seconds) or not needed(path.stem), path.name
    for name, service in ours().items():
        grace = int(service.get("stop_grace_period", "10s").rstrip("s"))
        assert needed(name) < grace or not needed(name), name
    for name, pod in pods().items():
        grace = pod.get("terminationGracePeriodSeconds", 30)
        assert needed(name) < grace or not needed(name), name


def needed(name: str) -> float:
    if "batch" in name or "control" in name:
        return float(_WORKER_SECONDS)
    return STOP_SECONDS if "api" in name else 0


# --- systemd ------------------------------------------------------------------


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_units_read_secrets_as_root_and_run_as_nobody_in_particular(path: Path) -> None:
    service = unit(path)["Service"]
    assert ["/etc/reembed/env"] == service["EnvironmentFile"]
    assert ["yes"] == service["DynamicUser"] == service["NoNewPrivileges"]
    assert ["strict"] == service["ProtectSystem"]


def test_variables_of_a_command_have_a_default_in_the_unit() -> None:
    for path in UNITS:
        service = unit(path)["Service"]
        named = re.findall(r"\$\{(\w+)\}", service["ExecStart"][0])
        set_here = [
            word.partition("=")[::2] for line in service["Environment"] for word in line.split()
        ]
        for name in named:
            default = _DEFAULTS[name.removeprefix("REEMBED_").lower()]
            assert (name, str(default)) in set_here


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not installed")
def test_systemd_takes_the_units(tmp_path: Path) -> None:
    for path in (DEPLOY / "systemd").iterdir():
        text = path.read_text().replace("/opt/reembed/venv/bin", str(Path(sys.executable).parent))
        (tmp_path / path.name).write_text(text.replace("=/opt/reembed", f"={tmp_path}"))
    files = sorted(str(path) for path in tmp_path.iterdir())
    run = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *files], capture_output=True, text=True
    )
    assert "" == "\n".join(line for line in run.stderr.splitlines() if "reembed" in line)


# --- Compose ------------------------------------------------------------------


def test_compose_waits_for_what_can_say_that_it_is_there() -> None:
    services = compose()["services"]
    for name, service in services.items():
        for awaited, told in service.get("depends_on", {}).items():
            condition = told["condition"]
            if condition == "service_healthy":
                assert services[awaited]["healthcheck"]["test"][0] == "CMD", (name, awaited)
            else:
                assert (condition, "on-failure") == (
                    "service_completed_successfully",
                    services[awaited]["restart"],
                )


def test_compose_has_no_key_that_its_specification_does_not() -> None:
    assert set(compose()) <= {"name", "services", "volumes", "x-reembed"}
    known = {
        "image",
        "build",
        "command",
        "environment",
        "env_file",
        "ports",
        "volumes",
        "depends_on",
        "healthcheck",
        "restart",
        "stop_grace_period",
        "read_only",
        "tmpfs",
        "cap_drop",
        "security_opt",
    }
    for name, service in compose()["services"].items():
        assert set(service) <= known, name
        assert {"image", "command"} <= set(service) or name == "postgres"
        health = set(service.get("healthcheck", {}))
        assert health <= {"test", "interval", "timeout", "retries", "start_period"}


def test_compose_asks_for_every_password_and_for_nothing_else() -> None:
    wanted = set(re.findall(r"\$\{(\w+):\?", COMPOSE.read_text()))
    shown = (DEPLOY / "docker" / "env.example").read_text()
    assert wanted == set(re.findall(r"^(\w+)=$", shown, re.M))
    examples = re.findall(r"^#(\w+=.*)$", shown, re.M)
    providers = parse("\n".join(examples))["REEMBED_PROVIDERS"]
    (mine,) = yaml.safe_load(providers).values()
    ProviderSettings.model_validate(mine)


def test_compose_publishes_ports_on_the_loopback_alone_and_keeps_data() -> None:
    services = compose()["services"]
    ports = [port for service in services.values() for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)
    mounted = {v.partition(":")[0] for s in services.values() for v in s.get("volumes", [])}
    assert mounted == set(compose()["volumes"])


def test_redis_keeps_what_it_is_told_and_evicts_nothing() -> None:
    words = shlex.split(compose()["services"]["redis"]["command"])
    assert ["yes", "noeviction"] == [
        words[words.index(option) + 1] for option in ("--appendonly", "--maxmemory-policy")
    ]


def test_the_image_is_made_of_what_the_package_is_made_of() -> None:
    setup = RawConfigParser()
    setup.read(PROJECT / "setup.cfg")
    packages = {name.rstrip("*") for name in setup["options.packages.find"]["include"].split()}
    dockerfile = (DEPLOY / "docker" / "Dockerfile").read_text()
    copied = set(re.findall(r"^COPY (\w+) \1$", dockerfile, re.M))
    allowed = (DEPLOY / "docker" / "Dockerfile.dockerignore").read_text().splitlines()
    assert packages == copied
    assert {f"!{name}" for name in packages} <= set(allowed)
    version = setup["metadata"]["version"]
    images = {service["image"] for service in ours().values()}
    images |= {pod["containers"][0]["image"] for pod in pods().values()}
    assert {f"reembed:{version}"} == images


# --- Kubernetes ---------------------------------------------------------------


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)
def test_kubernetes_takes_the_manifests(path: Path) -> None:
    for made in yaml.safe_load_all(path.read_text()):
        kubernetes_validate.validate(made, kubernetes_validate.latest_version(), strict=True)


def test_what_selects_finds_what_it_is_for() -> None:
    labels = [
        made["spec"]["template"]["metadata"]["labels"]
        for made in manifests()
        if made["kind"] == "Deployment"
    ]
    deployments = {made["metadata"]["name"] for made in manifests() if made["kind"] == "Deployment"}
    for made in manifests():
        selector = made.get("spec", {}).get("selector")
        if selector is not None:
            assert selector.get("matchLabels", selector) in labels, made["metadata"]["name"]
        if made["kind"] == "HorizontalPodAutoscaler":
            assert made["spec"]["scaleTargetRef"]["name"] in deployments


def test_pods_run_as_a_user_and_have_secrets_by_reference_alone() -> None:
    for name, pod in pods().items():
        (container,) = pod["containers"]
        assert pod["securityContext"]["runAsNonRoot"], name
        assert not pod["enableServiceLinks"], name
        assert container["securityContext"]["readOnlyRootFilesystem"], name
        assert container["resources"]["requests"], name
        assert {"name": "reembed"} in [source.get("secretRef") for source in container["envFrom"]]
    (config,) = [made["data"] for made in manifests() if made["kind"] == "ConfigMap"]
    assert {"REEMBED_DATABASE_URL", "REEMBED_REDIS_URL"}.isdisjoint(config)
    assert not [name for name in config if "TOKEN" in name or "KEY" in name]


def test_everything_that_runs_all_the_time_survives_a_node_that_is_drained() -> None:
    kept = {made["metadata"]["name"] for made in manifests() if "Disruption" in made["kind"]}
    running = {made["metadata"]["name"] for made in manifests() if made["kind"] == "Deployment"}
    assert running == kept
