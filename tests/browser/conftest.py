"""A browser at the page of a running system. ``make browser`` runs these; ``make test`` does not.

They need Debian's ``chromium``, or another of that name on the PATH: a fresh machine has none.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from devstack.milvus_lite import MilvusLiteServer
from devstack.postgres import PostgresServer
from devstack.redis import RedisServer
from tests.browser.person import PICTURES, Person
from tests.harness.world import Servers, World
from tests.services.databases import fresh_database, fresh_redis


@pytest.fixture(scope="session")
def running_world(
    redis_server: RedisServer,
    postgres_server: PostgresServer,
    milvus_lite_server: MilvusLiteServer,
    database_template: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[World]:
    with fresh_database(postgres_server, database_template) as database:
        servers = Servers(fresh_redis(redis_server), database, milvus_lite_server.url)
        settings = {"REEMBED_SECRET_KEY": "of the browser's tests", "REEMBED_RETRY_DELAY": "1"}
        with World(servers, tmp_path_factory.mktemp("world"), settings) as world:
            yield world


@pytest.fixture
def world(running_world: World) -> Iterator[World]:
    before = running_world.bots()
    yield running_world
    running_world.settle()
    running_world.forget_limits()
    running_world.forget_bots(but=before)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    program = shutil.which("chromium")
    assert program, "There is no 'chromium' on the PATH: install it, e.g. apt install chromium."
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=program, args=arguments)
        yield opened
        opened.close()


@pytest.fixture(scope="session", autouse=True)
def pictures() -> Path:
    PICTURES.mkdir(parents=True, exist_ok=True)
    return PICTURES


@pytest.fixture
def person(world: World, browser: Browser) -> Iterator[Person]:
    """Somebody who has logged in as the owner, with a browser that runs scripts."""
    with Person.at(world, browser) as one:
        one.log_in()
        yield one


@pytest.fixture
def without_scripts(world: World, browser: Browser) -> Iterator[Person]:
    with Person.at(world, browser, scripts=False) as one:
        one.log_in()
        yield one
