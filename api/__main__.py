"""``python -m api`` serves the API until SIGTERM; requests in work are answered first."""

from __future__ import annotations

import os

from api import create_app
from api.server import Server
from migrations.settings import get_settings


def main() -> None:
    settings = get_settings()
    server = Server(create_app(), settings.host, settings.port, settings.api_threads)
    if not server.serve():
        # A thread that waits for a provider would keep the interpreter from ending.
        os._exit(1)


if __name__ == "__main__":
    main()
