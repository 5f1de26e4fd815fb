"""``python -m api`` serves the API until SIGTERM; requests in work are answered first."""

from __future__ import annotations

import os

from api import create_app
from api.server import Server
from api.services import services_of
from api.streams import StreamRoom
from api.waiting import WaitingRoom
from migrations.settings import get_settings


def main() -> None:
    settings = get_settings()
    app = create_app()
    services = services_of(app)
    server = Server(
        app,
        settings.host,
        settings.port,
        settings.api_threads,
        settings.api_reader_threads,
        WaitingRoom(services.system.bots_of, settings.api_waiting_requests),
        StreamRoom(services.history.look, settings.api_streams),
    )
    all_answered = server.serve()
    services.spending.flush()
    if not all_answered:
        # A thread that waits for a provider would keep the interpreter from ending.
        os._exit(1)


if __name__ == "__main__":
    main()
