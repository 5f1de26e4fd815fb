"""The package as ``pip install`` gives it: complete, and at work outside the clone.

The wheel stands in an environment of its own, before the packages of the
running one; nothing there leads back to this working tree.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from zipfile import ZipFile

import psycopg2
import pytest

from devstack.server import PROJECT

PACKAGES = ("api", "cli", "devstack", "migrations", "worker")
METADATA = ("setup.cfg", "pyproject.toml", "README.md", "celeryconfig.py")
#: Alembic runs these from their files, within its own environment.
SCRIPTS = "migrations/store/schema/"
OFFLINE = ("--no-index", "--no-deps")

#: Imports every module it is given and tells from which files.
IMPORT = """
import importlib, json, sys
print(json.dumps({name: importlib.import_module(name).__file__ for name in sys.argv[1:]}))
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

    def run(self, *arguments: str) -> str:
        """What Python says; it ends without an error."""
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("REEMBED_", "PYTHON"))
        }
        run = subprocess.run(
            [self.python, *arguments],
            cwd=self.folder,
            env=inherited | dict(self.settings),
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
    commands = re.findall(r"^  (\S+)", installed.reembed("--help").split("Commands:")[1], re.M)
    assert {"upgrade-schema", "issue-token", "revoke-token", "grant", "trail", "repair"} <= set(
        commands
    )
    for command in commands:
        assert "Usage:" in installed.reembed(command, "--help")


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


def newest_revision() -> str:
    versions = PROJECT / SCRIPTS / "versions"
    return max(path.name for path in versions.glob("*.py"))[:4]
