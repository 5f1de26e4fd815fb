"""Items in our queues that nobody of ours has sent."""

from __future__ import annotations

import base64
import json

from migrations.model.task_names import BATCH_QUEUES, CONTROL_QUEUE
from tests.harness.world import LARGE, World

_PROPERTIES = {"delivery_tag": "strange", "body_encoding": "base64", "delivery_info": {}}


def _item(**fields: object) -> bytes:
    return json.dumps({"headers": {}, "properties": _PROPERTIES} | fields).encode()


STRANGE = (
    b"not JSON",
    b"\xff\xfe",
    b"[]",
    b"null",
    b"{}",
    b'"text"',
    _item(properties=None),
    _item(properties={}),
    _item(properties={"delivery_tag": "strange"}, headers=None),
    _item(properties=_PROPERTIES | {"delivery_info": None}),
    _item(body="not base64!"),
    _item(properties=_PROPERTIES | {"body_encoding": "unheard-of"}, body="x"),
    _item(body=base64.b64encode(b"{").decode(), headers={"task": "migrations.batch", "id": "1"}),
    _item(**{"content-type": "application/x-python-serialize"}, body="", headers={"task": "no"}),
)


def test_what_is_no_message_of_ours_ends_no_worker_and_holds_up_no_migration(world: World) -> None:
    before = {name: world.processes.pid(name) for name in ("batch", "control")}
    for item in STRANGE:
        world.redis.lpush(CONTROL_QUEUE, item)
        world.redis.lpush(BATCH_QUEUES[0], item)
    bot = world.seed_bot(50)
    bot.start(LARGE, batch_size=10).ends("completed")
    assert before == {name: world.processes.pid(name) for name in before}
    world.processes.check()
    assert 0 == world.redis.llen(CONTROL_QUEUE)
    assert 0 == world.redis.llen(BATCH_QUEUES[0])
    world.assert_all_well(bot)
