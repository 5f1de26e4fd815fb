"""The HTTP API: a thin layer over the use cases of ``migrations``.

It never does the work itself: a migration is recorded and enqueued, and workers
do the rest. ``python -m api`` serves it.
"""

from __future__ import annotations

from flask import Flask
from flask_openapi3.openapi import OpenAPI
from werkzeug.middleware.proxy_fix import ProxyFix

from api import dashboard, description, limits, observation, problems, tracing, trail
from api.metrics import exposition
from api.parsing import MAX_BODY_BYTES
from api.routes import COUNTED, GUARDED, OPEN
from api.services import ApiServices, attach


def create_app(services: ApiServices | None = None, *, counters: str = limits.IN_MEMORY) -> OpenAPI:
    """The WSGI application, on the given services or on those the environment names.

    ``counters`` is where requests are counted; the environment's Redis without services.
    """
    if services is None:
        services = _from_environment()
        counters = services.settings.redis_url.get_secret_value()
    app = description.new_app(__name__)
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES
    attach(app, services)
    _trust_proxies(app, services.settings.trusted_proxies)
    tracing.register(app)
    observation.register(app)
    exposition.register(app)
    problems.register(app)
    limiter = limits.register(app, counters, COUNTED)
    trail.register(app)
    for blueprint in (*GUARDED, *OPEN):
        app.register_api(blueprint)
    dashboard.register(app, limiter, services.settings)
    description.complete(app)
    return app


def _trust_proxies(app: Flask, proxies: int) -> None:
    """Believe of X-Forwarded-For what so many proxies have written, and nothing without any."""
    if proxies:
        app.wsgi_app = ProxyFix(  # type: ignore[method-assign] # as Flask's documentation has it
            app.wsgi_app, x_for=proxies, x_proto=0
        )


def _from_environment() -> ApiServices:
    # Imported here, so that an application on fakes needs no vendor package.
    from migrations.bootstrap import build_system, start_tracing
    from migrations.process.logs import configure
    from migrations.settings import get_settings

    settings = get_settings()
    configure(settings)
    start_tracing("reembed-api")
    assembly = build_system(settings)
    assembly.load()  # before the first request comes, not with it
    return assembly
