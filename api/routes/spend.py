"""What was paid to providers, in tokens and in money."""

from __future__ import annotations

from flask import Response

from api.answers import answer
from api.auth import current_caller
from api.description import refusals
from api.routes.guarded import guarded_blueprint
from api.schemas import BotPath, MigrationPath, SpendQuery, SpendResponse
from api.services import services
from migrations.model import errors

spend = guarded_blueprint("spend", __name__, "What was paid to providers.")


@spend.get("/spend", responses={200: SpendResponse, **refusals(errors.NotAllowed)})
def spend_of_owner(query: SpendQuery) -> Response:
    """See what an owner has paid for

    Migrations and errands of all their bots, also of those that were removed. The caller's own;
    an admin's is everybody's, or that of the `owner` who is named.
    """
    return answer(SpendResponse.of(services().spend.of_owner(current_caller(), query.owner)))


@spend.get("/bots/<bot_id>/spend", responses={200: SpendResponse, **refusals(errors.BotNotFound)})
def spend_of_bot(path: BotPath) -> Response:
    """See what a bot has cost: its migrations, its readers' questions, all else that was asked"""
    return answer(SpendResponse.of(services().spend.of_bot(current_caller(), path.bot_id)))


@spend.get(
    "/embeddings/migration/<migration_id>/spend",
    responses={200: SpendResponse, **refusals(errors.MigrationNotFound)},
)
def spend_of_migration(path: MigrationPath) -> Response:
    """See what a migration has cost so far"""
    found = services().spend.of_migration(current_caller(), path.migration_id)
    return answer(SpendResponse.of(found))
