"""Starting a migration: what it would take first, then whether that is agreed to."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from flask import Response, flash, redirect, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from api.auth import current_caller
from api.dashboard.blueprints import page, pages
from api.dashboard.forms import Refused, decimal, flag, text, to_request, whole
from api.problems import kind_of
from api.schemas import MigrationEstimateRequest, MigrationStartRequest
from api.services import services
from api.turns import turn
from migrations.model.answers import BotEstimate
from migrations.model.bots import Bot
from migrations.model.errors import ReembedError

_AGREE = "Nothing was started: tick that you agree to what it takes."


@pages.get("/bots/<bot_id>/start")
def start(bot_id: str) -> Response:
    return _form(_bot(bot_id))


@pages.post("/bots/<bot_id>/estimate")
def estimate(bot_id: str) -> Response:
    bot = _bot(bot_id)
    try:
        _wish()
        asked = to_request(MigrationEstimateRequest, _target())
        with turn():
            found = services().compatibility.estimate_migration_time(
                current_caller(), asked.estimate(bot.bot_id)
            )
    except Refused as refused:
        return _form(bot, 422, refused.sentences)
    except ReembedError as error:
        return _form(bot, kind_of(type(error)).status, [error.message])
    return _consent(bot, found, request.form.get("key") or str(uuid4()))


@pages.post("/bots/<bot_id>/start")
def start_migration(bot_id: str) -> AnyResponse:
    bot = _bot(bot_id)
    if not flag("agreed"):
        return _form(bot, 422, [_AGREE])
    try:
        with turn():
            started = services().system.start_migration(
                current_caller(), _wish().start(bot.bot_id), request.form.get("key") or None
            )
    except Refused as refused:
        return _form(bot, 422, refused.sentences)
    except ReembedError as error:
        return _form(bot, kind_of(type(error)).status, [error.message])
    flash("The migration is enqueued; the bot keeps answering from the collection it has.")
    return redirect(url_for("dashboard.migration", migration_id=started.migration.id), 303)


def _bot(bot_id: str) -> Bot:
    return services().system.bot(current_caller(), bot_id)


def _form(bot: Bot, status: int = 200, errors: list[str] | None = None) -> Response:
    known = services().compatibility.known_models()
    return page("start.html", status, bot=bot, given=request.form, errors=errors, known=known)


def _consent(bot: Bot, found: BotEstimate, key: str) -> Response:
    fields = {n: v for n, v in request.form.items() if n not in {"csrf_token", "key", "agreed"}}
    timeout = _wish().timeout_seconds or services().settings.default_timeout_seconds
    return page(
        "consent.html",
        bot=bot,
        target=found.target,
        estimate=found.estimate,
        fields=fields,
        key=key,
        timeout=timeout,
        retention_hours=services().settings.retention_hours,
    )


def _target() -> dict[str, Any]:
    return {
        "provider": text("provider"),
        "model": text("model"),
        "dimension": whole("dimension"),
        "batch_size": whole("batch_size"),
    }


def _wish() -> MigrationStartRequest:
    """As the form has it. Raises Refused."""
    others: dict[str, Any] = {
        "timeout_seconds": whole("timeout_seconds"),
        "max_failed_ratio": decimal("max_failed_ratio"),
        "over_long": text("over_long"),
        "duplicate_keys": text("duplicate_keys"),
        "keys": text("keys"),
        "postpone": flag("postpone"),
        "rollback_on_breach": flag("rollback_on_breach"),
    }
    return to_request(MigrationStartRequest, _target() | others)
