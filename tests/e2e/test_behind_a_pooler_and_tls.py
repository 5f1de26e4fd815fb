"""PostgreSQL behind PgBouncer in transaction mode, Redis behind TLS."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from urllib.parse import quote

import pytest
import trustme

from devstack.milvus_lite import MilvusLiteServer
from devstack.postgres import PostgresServer
from devstack.redis import RedisServer
from tests.harness.tcp_proxy import TcpProxy
from tests.harness.world import LARGE, SMALL, Servers, World
from tests.services.databases import fresh_database, fresh_redis
from tests.services.pgbouncer import PROGRAM, PgBouncer
from tests.services.servers import running

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="PgBouncer is not installed")


@pytest.fixture(scope="module")
def world(
    redis_server: RedisServer,
    postgres_server: PostgresServer,
    milvus_lite_server: MilvusLiteServer,
    database_template: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("pooled")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    plain = fresh_redis(redis_server)
    with (
        fresh_database(postgres_server, database_template) as database,
        running(PgBouncer(folder / "pgbouncer", database)) as pooler,
        TcpProxy(redis_server.port, tls=tls) as wire,
    ):
        number = plain.rpartition("/")[2]
        trusted = quote(str(folder / "ca.pem"), safe="")
        redis_url = f"rediss://127.0.0.1:{wire.port}/{number}?ssl_ca_certs={trusted}"
        servers = Servers(redis_url, pooler.url, milvus_lite_server.url)
        with World(servers, folder) as world:
            yield world


def test_a_bot_goes_to_another_model_and_back_though_a_worker_is_killed(world: World) -> None:
    bot = world.seed_bot(200)
    untouched = world.digest(bot)
    with world.driver.paused("batch.before_read", batch=5) as held:
        run = bot.start(LARGE, batch_size=10)
        held.wait()
        world.kill("batch")
    world.restart(["batch"])
    seen = run.ends("completed")
    assert (200, 200, 0) == (
        seen["total_chunks"],
        seen["processed_chunks"],
        seen["failed_chunks"],
    )
    assert LARGE == bot.pair()[1]
    run.roll_back().ends("completed")
    assert (bot.collection, SMALL) == bot.pair()
    assert untouched == world.digest(bot)
    world.assert_all_well(bot)
