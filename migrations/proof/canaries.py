"""Canaries: questions to the live collection for a while after its switch.

Verification has asked the new collection before anybody read it. That it goes on answering as
it did then is asked with the sweeps of the first hour: rows by their own text, as questions,
and the bot's golden queries that name what is relevant. Less than the gates allow of what
verification had found is a breach.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import numpy as np
import structlog

from migrations.embedding.asking import Vector
from migrations.embedding.embed import embed_queries
from migrations.embedding.work import Errand
from migrations.model.bots import Bot
from migrations.model.chunks import CollectionSchema, Hit, Key
from migrations.model.errors import PermanentError, RequestError, TransientError
from migrations.model.golden import GoldenQuery
from migrations.model.looked_up import read_with_texts
from migrations.model.runs import Migration
from migrations.model.states import Kind, Status
from migrations.process.services import Services
from migrations.proof.golden import recall
from migrations.proof.questions import share_found

log = structlog.get_logger(__name__)

#: Rows of which some are asked for: one page, which is read in one piece.
PAGE = 200
#: With fewer answers a share says nothing.
FEWEST = 10
#: What the ledger says that canaries are for.
CANARIES = "canaries"


def breaches(services: Services, migration: Migration) -> list[str]:
    """What the live collection answers worse than it was verified, each in a sentence.

    None where it is not the time to ask, there is nothing to compare with, or nobody answers.
    """
    bot = services.store.bot(migration.bot_id)
    if not _is_due(services, bot, migration):
        return []
    try:
        schema = services.vectors.describe(bot.live.collection, bot.vector_field)
        schema = read_with_texts(schema, bot.recipe)
        asked = (_known_items, _golden)
        found = [ask(services, bot, migration, schema) for ask in asked]
    except (TransientError, PermanentError, RequestError) as error:
        log.warning("canaries_not_asked", migration_id=str(migration.id), reason=error.message)
        return []
    return [sentence for sentence in found if sentence]


def _is_due(services: Services, bot: Bot, migration: Migration) -> bool:
    """A reverse run goes back to what the bot had: whether that is good was judged before."""
    if migration.kind is not Kind.FORWARD or migration.status is not Status.COMPLETED:
        return False
    if migration.switched_at is None or bot.live.collection != migration.target_collection:
        return False
    return services.now() - migration.switched_at < timedelta(hours=services.settings.canary_hours)


def _known_items(
    services: Services, bot: Bot, migration: Migration, schema: CollectionSchema
) -> str | None:
    verified = _verified(migration, "retrieval", "recall_after")
    if verified is None:
        return None
    texts = _texts_of_their_own(services, bot, schema)
    vectors = _embedded(services, bot, list(texts.values()))
    asked = {key: text for key, text in texts.items() if text in vectors}
    if len(asked) < FEWEST:
        return None
    hits = _hits(services, schema, [vectors[text] for text in asked.values()])
    found = share_found(zip(asked, hits, strict=True))
    what = f"of {len(asked)} chunks that are asked for by their own text"
    return _judged(services, migration, "recall", what, found, verified)


def _golden(
    services: Services, bot: Bot, migration: Migration, schema: CollectionSchema
) -> str | None:
    verified = _verified(migration, "golden_recall", "after")
    if verified is None or schema.key_is_given:  # the relevant keys are the old collection's
        return None
    queries = [q for q in services.store.golden_queries(bot.bot_id) if q.relevant]
    vectors = _embedded(services, bot, [query.text for query in queries])
    asked: list[GoldenQuery] = [query for query in queries if query.text in vectors]
    if not asked:
        return None
    hits = _hits(services, schema, [vectors[query.text] for query in asked])
    shares = [
        recall([str(hit.key) for hit in found], query.relevant)
        for query, found in zip(asked, hits, strict=True)
    ]
    what = f"of what is relevant for {len(asked)} golden queries"
    return _judged(services, migration, "golden_recall", what, float(np.mean(shares)), verified)


def _judged(
    services: Services, migration: Migration, gate: str, what: str, found: float, verified: float
) -> str | None:
    least = services.settings.gates.but(migration.config.gates).least(gate) * verified
    log.info("canaries_asked", gate=gate, found=round(found, 3), verified=round(verified, 3))
    if found >= least:
        return None
    return (
        f"{found:.0%} {what} are found in the live collection; verification had found "
        f"{verified:.0%}, and at least {least:.0%} is wanted."
    )


def _texts_of_their_own(services: Services, bot: Bot, schema: CollectionSchema) -> dict[Key, str]:
    """By key, some of a page of rows: those whose text no other row of it has."""
    vectors = services.vectors
    rows = next(vectors.scan(schema, page_size=PAGE, as_of=vectors.lately()), [])
    texts = {row.key: bot.recipe.text_of(row.fields) for row in rows}
    times = Counter(texts.values())
    own = [(key, text) for key, text in texts.items() if text and times[text] == 1]
    step = max(1, len(own) // max(1, services.settings.canary_questions))
    return dict(own[::step][: services.settings.canary_questions])


def _embedded(services: Services, bot: Bot, texts: Sequence[str]) -> Mapping[str, Vector]:
    if not texts:
        return {}
    errand = Errand.of(services, bot)
    return embed_queries(errand, bot.live.embedding, texts, CANARIES, insist=False).vectors


def _hits(
    services: Services, schema: CollectionSchema, questions: Sequence[Vector]
) -> list[list[Hit]]:
    return services.vectors.search(
        schema, np.stack(questions), limit=services.settings.recall_at, output_fields=[]
    )


def _verified(migration: Migration, name: str, detail: str) -> float | None:
    """What verification had found, from its report."""
    checks: Sequence[Mapping[str, Any]] = (migration.verification or {}).get("checks", ())
    for check in checks:
        if check["name"] == name and detail in check["details"]:
            return float(check["details"][detail])
    return None
