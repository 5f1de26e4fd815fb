"""Asking a Milvus server whether it is there."""

from __future__ import annotations

import grpc
from pymilvus.grpc_gen import milvus_pb2, milvus_pb2_grpc

from devstack.server import LOOPBACK, listens


def answers(port: int, timeout_seconds: float = 2) -> bool:
    """Whether the Milvus on this loopback port can list its collections.

    A bare gRPC call, because pymilvus' own client retries and logs for as long
    as the server is starting.
    """
    if not listens(port):
        return False
    with grpc.insecure_channel(f"{LOOPBACK}:{port}") as channel:
        stub = milvus_pb2_grpc.MilvusServiceStub(channel)
        try:
            shown = stub.ShowCollections(
                milvus_pb2.ShowCollectionsRequest(), timeout=timeout_seconds
            )
        except grpc.RpcError:
            return False
        return bool(shown.status.error_code == 0)
