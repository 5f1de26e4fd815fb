"""What gunicorn does in each of its workers; named in the Procfile with ``--config``."""

from __future__ import annotations

import gc
from typing import Any


def post_worker_init(_worker: Any) -> None:
    """The application is loaded: leave what it consists of out of garbage collections.

    A full collection looks at every object of every imported module, for tens of
    milliseconds, in which nobody is answered; none of them ever becomes garbage.
    """
    gc.collect()
    gc.freeze()
