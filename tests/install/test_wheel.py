"""The package as ``pip install`` gives it: complete, and at work outside the clone.

The wheel stands in an environment of its own, before the packages of the
running one; nothing there leads back to this working tree.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from zipfile import ZipFile

import psycopg2
import pytest
from pydantic import SecretStr

from devstack.client import ApiClient
from devstack.corpus import Passage
from devstack.demo_bot import DemoBot
from devstack.milvus_lite import MilvusLiteServer
from devstack.processes import Processes
from devstack.redis import RedisServer
from devstack.server import PROJECT, free_port
from migrations.adapters.providers import ConfiguredEmbedders
from migrations.model.config import EmbeddingRef
from migrations.settings import Settings
from tests.services.databases import fresh_redis, unique_name

PACKAGES = ("api", "cli", "devstack", "migrations", "worker")
METADATA = ("setup.cfg", "pyproject.toml", "README.md", "celeryconfig.py")
#: Alembic runs these from their files, within its own environment.
SCRIPTS = "migrations/store/schema/"
OFFLINE = ("--no-index", "--no-deps")

#: Processes, by the units that start them.
UNITS = {"api": "reembed-api", "control": "reembed-control", "batch": "reembed-batch@"}
LOCAL_64 = EmbeddingRef(provider="local", model="wordllama-l2-supercat", dimension=64)

#: Imports every module it is given and tells from which files.
IMPORT = """
import importlib, json, sys
print(json.dumps({name: importlib.import_module(name).__file__ for name in sys.argv[1:]}))
"""
#: In one process: each of its own would take a second or two to start.
HELP = """
import json
from click.testing import CliRunner
from worker.commands import reembed
told = {name: CliRunner().invoke(reembed, [name, "--help"]).output for name in reembed.commands}
print(json.dumps(told))
"""
ASK = """
from api import create_app
answer = create_app().test_client().get("/openapi/openapi.json")
print(answer.status_code, answer.json["info"]["title"])
"""


@dataclass(frozen=True)
class Installed:
    """An environment with the wheel in it, and a folder from which to use it."""

    wheel: Path
    python: Path
    folder: Path
    settings: Mapping[str, str]

    def files(self) -> list[str]:
        """What the wheel installs, beside its metadata."""
        with ZipFile(self.wheel) as archive:
            return [name for name in archive.namelist() if ".dist-info/" not in name]

    def environment(self) -> dict[str, str]:
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("REEMBED_", "PYTHON"))
        }
        return inherited | dict(self.settings)

    def run(self, *arguments: str) -> str:
        """What Python says; it ends without an error."""
        run = subprocess.run(
            [self.python, *arguments],
            cwd=self.folder,
            env=self.environment(),
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert 0 == run.returncode, run.stdout
        return run.stdout

    def reembed(self, *arguments: str) -> str:
        return self.run("-m", "celery", "-A", "worker", "reembed", *arguments)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy: in the clone, what an earlier build has left would get into it."""
    source = tmp_path_factory.mktemp("source")
    for package in PACKAGES:
        shutil.copytree(PROJECT / package, source / package)
    for file in METADATA:
        shutil.copy(PROJECT / file, source)
    wheels = tmp_path_factory.mktemp("wheels")
    _pip("wheel", "--no-build-isolation", *OFFLINE, "--wheel-dir", wheels, source)
    (built,) = wheels.iterdir()
    return built


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment with the wheel and, behind it, the running packages."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, symlinks=True)
    python = folder / "bin" / "python"
    own = Path(sysconfig.get_path("purelib", "venv", {"base": str(folder)}))
    # Of a folder that is named in a .pth file no other .pth file is read, such as the
    # one that leads from the running packages to this working tree.
    running = sorted({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")})
    (own / "running.pth").write_text("\n".join(running))
    _pip("--python", python, "install", *OFFLINE, wheel)
    return python


@pytest.fixture
def installed(wheel: Path, environment: Path, tmp_path: Path, empty_database_url: str) -> Installed:
    settings = {
        "REEMBED_DATABASE_URL": empty_database_url,
        "REEMBED_REDIS_URL": "redis://127.0.0.1:1/0",  # nothing here asks for either
        "REEMBED_MILVUS_URI": "http://127.0.0.1:1",
        "REEMBED_ENV_FILE": "",
    }
    return Installed(wheel, environment, tmp_path, settings)


def _pip(*arguments: str | Path) -> None:
    quietly = ["--disable-pip-version-check", "--quiet", "--no-cache-dir"]
    subprocess.run([sys.executable, "-m", "pip", *quietly, *arguments], check=True)


def module_name(file: str) -> str:
    return file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def test_the_wheel_has_all_of_the_packages_and_nothing_else(installed: Installed) -> None:
    written = [
        str(path.relative_to(PROJECT))
        for package in PACKAGES
        for path in (PROJECT / package).rglob("*")
        if path.is_file() and path.parent.name != "__pycache__"
    ]
    assert sorted(["celeryconfig.py", *written]) == sorted(installed.files())


def test_every_module_is_imported_from_the_wheel(installed: Installed) -> None:
    code = [file for file in installed.files() if file.endswith(".py")]
    names = [module_name(file) for file in code if not file.startswith(SCRIPTS)]
    imported = json.loads(installed.run("-c", IMPORT, *names))
    home = installed.python.parents[1]
    elsewhere = [file for file in imported.values() if not Path(file).is_relative_to(home)]
    assert ([], set(names)) == (elsewhere, set(imported))


def test_every_command_tells_how_it_is_used(installed: Installed) -> None:
    shown = installed.reembed("--help").split("Commands:")[1]
    commands = set(re.findall(r"^  (\S+)", shown, re.M))
    assert {"upgrade-schema", "issue-token", "revoke-token", "grant", "trail", "repair"} <= commands
    told = json.loads(installed.run("-c", HELP))
    assert commands == set(told)
    assert all(text.startswith("Usage:") for text in told.values())


def test_the_command_line_tells_how_it_is_used(installed: Installed) -> None:
    script = str(installed.python.with_name("reembed"))
    assert "Usage: reembed " in installed.run(script, "--help")
    assert "reembed, version " in installed.run(script, "--version")


def test_the_application_is_made(installed: Installed) -> None:
    assert "200 reembed" in installed.run("-c", ASK)


def test_the_schema_is_upgraded(installed: Installed, empty_database_url: str) -> None:
    installed.reembed("upgrade-schema")
    connection = psycopg2.connect(empty_database_url.replace("+psycopg2", ""))
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT version_num FROM schema_revision")
        (revision,) = cursor.fetchone()
    connection.close()
    assert newest_revision() == revision


@pytest.fixture
def at_work(
    installed: Installed, redis_server: RedisServer, milvus_lite_server: MilvusLiteServer
) -> Iterator[Installed]:
    """The API and both workers from the wheel, each as its systemd unit starts it."""
    servers = {
        "REEMBED_REDIS_URL": fresh_redis(redis_server),
        "REEMBED_MILVUS_URI": milvus_lite_server.url,
        "REEMBED_PORT": str(free_port()),
        # Sixty chunks have few neighbours in common by chance.
        "REEMBED_GATES": '{"neighbourhood_overlap": 0}',
    }
    found = replace(installed, settings=dict(installed.settings) | servers)
    found.run(*started_by("reembed-schema", found)[1:])
    procfile = found.folder / "Procfile"
    procfile.write_text(
        "\n".join(f"{name}: {shlex.join(started_by(unit, found))}" for name, unit in UNITS.items())
    )
    logs = found.folder / "logs"
    with Processes(found.environment(), logs=logs, procfile=procfile) as processes:
        processes.wait_ready()
        token = found.reembed("issue-token", "--name", "t", "--owner", "me", "--role", "admin")
        known = {"REEMBED_URL": processes.url, "REEMBED_TOKEN": token.strip()}
        yield replace(found, settings=dict(found.settings) | known)


def started_by(unit: str, installed: Installed) -> list[str]:
    """The command line of a unit, with the variables that it sets itself, in this environment."""
    text = (PROJECT / "deploy" / "systemd" / f"{unit}.service").read_text()
    variables = dict(
        word.split("=", 1)
        for line in re.findall(r"^Environment=(.*)$", text, re.M)
        for word in line.split()
    )
    (line,) = re.findall(r"^ExecStart=(.*)$", text, re.M)
    line = re.sub(r"\$\{(\w+)\}", lambda found: variables[found[1]], line)
    line = line.replace("%%", "%").replace("%i", "1")
    # Programs of the running packages are not in this environment; their modules are.
    line = line.replace("/opt/reembed/venv/bin/celery", f"{installed.python} -m celery")
    return shlex.split(line.replace("/opt/reembed/venv/bin/python", str(installed.python)))


def test_a_migration_is_run_by_what_is_installed_as_the_units_start_it(at_work: Installed) -> None:
    collection = unique_name("installed")
    seed(at_work.settings, collection, 60)
    command = str(at_work.python.with_name("reembed"))
    to = ("--provider", "local", "--model", LOCAL_64.model)
    at_work.run(command, "bots", "register", "docs", "--collection", collection, *to)
    at_work.run(command, "start", "docs", *to, "--dimension", "256", "--yes")
    assert "is completed." in at_work.run(command, "watch", "docs", "--until", "completed")
    live = json.loads(at_work.run(command, "live", "docs", "--json"))
    assert 256 == live["embedding"]["dimension"]
    found = json.loads(at_work.run(command, "search", "docs", "sentence 17", "--json"))
    assert found


def seed(settings: Mapping[str, str], collection: str, count: int) -> None:
    """A collection as somebody made it years ago, with the model that needs no key."""
    embedders = ConfiguredEmbedders(
        Settings(
            database_url=SecretStr(settings["REEMBED_DATABASE_URL"]),
            redis_url=SecretStr(settings["REEMBED_REDIS_URL"]),
            milvus_uri=settings["REEMBED_MILVUS_URI"],
        )
    )
    bot = DemoBot("docs", settings["REEMBED_MILVUS_URI"], embedders, ApiClient("", None))
    words = ["river", "stone", "lamp", "winter", "garden", "copper", "violin", "bread"]
    passages = [
        Passage(str(n), f"title {n}", f"Sentence {n} is of {words[n % 8]} and {words[n // 8]}.")
        for n in range(count)
    ]
    bot.load(collection, passages, LOCAL_64)
    bot.close()
    embedders.close()


def newest_revision() -> str:
    versions = PROJECT / SCRIPTS / "versions"
    return max(path.name for path in versions.glob("*.py"))[:4]
