"""Late writes of a bot that were not taken over: seen with what was written, and settled."""

from __future__ import annotations

from flask import Response, flash, redirect, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from api.auth import current_caller
from api.dashboard.blueprints import page, pages
from api.dashboard.forms import flag
from api.services import services
from migrations.model.left_behind import ConflictPlace, ConflictReason

_CONFLICTS = "/bots/<bot_id>/conflicts"
_PAGE = 50

_REASONS = {
    ConflictReason.LIVE_IS_NEWER: "the live chunk has changed since the switch, too; it stays",
    ConflictReason.NOT_EMBEDDED: "the live model could not embed the text",
    ConflictReason.CAME_BACK: "what was deleted or replaced before the switch stands there again",
}


@pages.get(_CONFLICTS)
def conflicts(bot_id: str) -> Response:
    cursor = request.args.get("cursor")
    found = services().left_behind.conflicts(
        current_caller(),
        bot_id,
        migration_id=None,
        after=ConflictPlace.after(cursor) if cursor else None,
        limit=_PAGE,
    )
    return page(
        "conflicts.html",
        bot_id=bot_id,
        conflicts=found.conflicts,
        following=found.next.cursor if found.next else None,
        reasons=_REASONS,
    )


@pages.post(f"{_CONFLICTS}/settle")
def settle(bot_id: str) -> AnyResponse:
    """Those that are ticked, or all there are."""
    keys = None if flag("all") else request.form.getlist("key")
    if keys == []:
        flash("Nothing was settled: tick those that are judged.")
        return redirect(url_for("dashboard.conflicts", bot_id=bot_id), 303)
    settled = services().left_behind.settle(current_caller(), bot_id, keys)
    flash(f"Settled: {settled}. No chunk was changed.")
    return redirect(url_for("dashboard.conflicts", bot_id=bot_id), 303)
