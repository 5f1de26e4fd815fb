"""The hook that gunicorn calls in its workers."""

from __future__ import annotations

import gc
import shlex

from api.serving import post_worker_init
from devstack.server import PROJECT


def test_what_is_loaded_is_left_out_of_collections() -> None:
    try:
        post_worker_init(None)
        assert gc.get_freeze_count() > 10_000
    finally:
        gc.unfreeze()


def test_gunicorn_is_told_of_the_hook() -> None:
    lines = (PROJECT / "Procfile").read_text().splitlines()
    command = next(line for line in lines if line.startswith("api:"))
    words = shlex.split(command)
    assert f"python:{post_worker_init.__module__}" == words[words.index("--config") + 1]
