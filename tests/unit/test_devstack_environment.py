"""What ``make up`` writes for a shell, and the ports it comes back on."""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from devstack.server import LOOPBACK
from devstack.session import exports
from devstack.stack import EmbeddedStack
from devstack.system import FLOWER_LOGIN, made_secrets


def told(environment: dict[str, str], script: str) -> str:
    system: Any = SimpleNamespace(
        environment=environment, url="http://127.0.0.1:8000", token="reembed_t"
    )
    lines = exports(cast("Any", system))
    run = subprocess.run(
        ["sh", "-euc", f"{lines}\n{script}"], capture_output=True, text=True, check=True
    )
    return run.stdout


def test_values_reach_the_shell_as_they_are_whatever_is_in_them() -> None:
    secret = """a 'b' "c" $d `e` \\ (f)"""
    assert told({"REEMBED_MILVUS_TOKEN": secret}, 'printf %s "$REEMBED_MILVUS_TOKEN"') == secret


def test_the_command_line_finds_the_api_by_it() -> None:
    script = 'printf "%s %s" "$REEMBED_URL" "$REEMBED_TOKEN"'
    assert told({}, script) == "http://127.0.0.1:8000 reembed_t"


def test_ports_and_what_is_not_ours_are_left_out() -> None:
    environment = {"REEMBED_PORT": "8000", "REEMBED_FLOWER_PORT": "5555", "OPENAI_API_KEY": "sk"}
    assert told(environment, 'printf %s "${REEMBED_PORT-}${REEMBED_FLOWER_PORT-}"') == ""
    assert "sk" not in exports_of(environment)


def exports_of(environment: dict[str, str]) -> str:
    system: Any = SimpleNamespace(environment=environment, url="u", token="t")
    return exports(cast("Any", system)).partition("export PATH")[0]


def test_the_page_and_flower_get_secrets_that_outlast_a_restart(tmp_path: Path) -> None:
    # As a copy of .env.example says it: nothing.
    made = made_secrets({"REEMBED_SECRET_KEY": ""}, tmp_path)
    assert len(made["REEMBED_SECRET_KEY"]) >= 40
    assert made[FLOWER_LOGIN].startswith("reembed:")
    assert made == made_secrets({}, tmp_path)
    assert {0o600} == {file.stat().st_mode & 0o777 for file in tmp_path.iterdir()}


def test_secrets_that_the_user_has_stay(tmp_path: Path) -> None:
    asked = {"REEMBED_SECRET_KEY_FILE": "/run/secrets/page", FLOWER_LOGIN: "me:mine"}
    assert {} == made_secrets(asked, tmp_path)


def test_a_port_that_somebody_else_has_taken_is_not_waited_for(tmp_path: Path) -> None:
    stack = EmbeddedStack(tmp_path)
    with socket.socket() as taken:
        taken.bind((LOOPBACK, 0))
        taken.listen()
        port = taken.getsockname()[1]
        (tmp_path / "milvus-lite.port").write_text(str(port))
        assert stack._last_port(stack.milvus) == 0
    assert stack._last_port(stack.milvus) == port
