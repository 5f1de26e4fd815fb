"""The HTTP API: a thin layer over the use cases of ``migrations``.

It never does the work itself: a migration is recorded and enqueued, and workers
do the rest. ``python -m api`` serves it.
"""

from __future__ import annotations

from flask_openapi3.openapi import OpenAPI

from api import description, observation, problems
from api.parsing import MAX_BODY_BYTES
from api.routes import BLUEPRINTS
from api.services import ApiServices, attach


def create_app(services: ApiServices | None = None) -> OpenAPI:
    """The WSGI application, on the given services or on those the environment names."""
    app = description.new_app(__name__)
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES
    attach(app, _from_environment() if services is None else services)
    observation.register(app)
    problems.register(app)
    for blueprint in BLUEPRINTS:
        app.register_api(blueprint)
    description.complete(app)
    return app


def _from_environment() -> ApiServices:
    # Imported here, so that an application on fakes needs no vendor package.
    from migrations.bootstrap import build_system
    from migrations.process.logs import configure
    from migrations.settings import get_settings

    settings = get_settings()
    configure(settings)
    assembly = build_system(settings)
    assembly.load()  # before the first request comes, not with it
    return assembly
