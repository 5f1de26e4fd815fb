"""The collection that the quickstart is followed with."""

from __future__ import annotations

import pytest
from pymilvus import MilvusClient

from devstack import sample
from devstack.milvus_lite import MilvusLiteServer


def test_the_sample_is_made_once_and_then_left_alone(
    milvus_lite_server: MilvusLiteServer,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in {
        "REEMBED_DATABASE_URL": "postgresql+psycopg2://nobody@127.0.0.1:1/none",
        "REEMBED_REDIS_URL": "redis://127.0.0.1:1/0",
        "REEMBED_MILVUS_URI": milvus_lite_server.url,
        "REEMBED_ENV_FILE": "",
    }.items():
        monkeypatch.setenv(name, value)

    sample.main()
    sample.main()

    milvus = MilvusClient(uri=milvus_lite_server.url, timeout=30)
    (counted,) = milvus.query(sample.COLLECTION, filter="", output_fields=["count(*)"])
    milvus.drop_collection(sample.COLLECTION)
    milvus.close()
    made, left = capsys.readouterr().out.splitlines()
    assert 300 == counted["count(*)"]
    assert ("300 passages are in my_docs", True) == (made[:27], "left as it is" in left)
