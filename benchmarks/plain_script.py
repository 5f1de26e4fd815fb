"""Embed a Milvus collection again with another OpenAI model, into a new collection.

    OPENAI_API_KEY=... python plain_script.py docs docs_new --model text-embedding-3-large \\
        --dimension 3072 --threads 4

The script one writes in an afternoon. It is what reembed is measured against,
so it is neither slower nor cleverer than such a script is. It prints one line
of JSON with the seconds from its beginning to the end of each of its steps.
"""

from __future__ import annotations

import argparse
import json
import time
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any

from openai import OpenAI
from pymilvus import DataType, MilvusClient


def main() -> None:
    options = read_options()
    began = time.perf_counter()
    openai, milvus = OpenAI(), MilvusClient(options.milvus)
    create_collection(milvus, options.target, options.dimension)
    created = time.perf_counter()
    copied_rows = copy(openai, milvus, options)
    copied = time.perf_counter()
    milvus.flush(options.target)
    flushed = time.perf_counter()
    steps = {"created": created, "copied": copied, "flushed": flushed}
    print(json.dumps({name: at - began for name, at in steps.items()} | {"rows": copied_rows}))


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source")
    parser.add_argument("target")
    parser.add_argument("--milvus", default="http://127.0.0.1:19530")
    parser.add_argument("--model", default="text-embedding-3-large")
    parser.add_argument("--dimension", type=int, default=3072)
    parser.add_argument("--batch", type=int, default=50)
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


def create_collection(milvus: MilvusClient, name: str, dimension: int) -> None:
    schema = milvus.create_schema(auto_id=False, enable_dynamic_field=True)
    schema.add_field("id", DataType.VARCHAR, is_primary=True, max_length=64)
    schema.add_field("text", DataType.VARCHAR, max_length=4096)
    schema.add_field("vector", DataType.FLOAT_VECTOR, dim=dimension)
    index = milvus.prepare_index_params()
    index.add_index("vector", index_type="AUTOINDEX", metric_type="COSINE")
    milvus.create_collection(name, schema=schema, index_params=index)


def copy(openai: OpenAI, milvus: MilvusClient, options: argparse.Namespace) -> int:
    """Copy all rows, a few batches at a time; how many there were."""
    iterator = milvus.query_iterator(
        options.source, batch_size=options.batch, output_fields=["id", "text", "source"]
    )
    copied = 0
    with ThreadPoolExecutor(options.threads) as pool:
        running: set[Future[None]] = set()
        while rows := iterator.next():
            copied += len(rows)
            running.add(pool.submit(move, openai, milvus, options, list(rows)))
            if len(running) > options.threads:  # do not read everything into memory
                done, running = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    future.result()
        for future in running:
            future.result()
    iterator.close()
    return copied


def move(
    openai: OpenAI, milvus: MilvusClient, options: argparse.Namespace, rows: list[dict[str, Any]]
) -> None:
    answer = openai.embeddings.create(
        model=options.model,
        input=[row["text"] for row in rows],
        dimensions=options.dimension,
    )
    for row, item in zip(rows, answer.data, strict=True):
        row["vector"] = item.embedding
    milvus.upsert(options.target, rows)


if __name__ == "__main__":
    main()
