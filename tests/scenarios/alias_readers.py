"""Applications that know the alias alone, through switches and rollbacks."""

from __future__ import annotations

from collections import Counter
from itertools import cycle, islice

from migrations.model.config import AS_IT_COMES
from tests.harness.alias_readers import (
    Address,
    AliasReaders,
    haystack,
    langchain,
    llamaindex,
    plain,
)
from tests.harness.world import IN_ROLES, LARGE, OTHER, SMALL, World
from tests.scenarios.judging import RESUME_SECONDS, seeded

CHUNKS = 60


def never_notice(
    ground: World, switches: int, rollbacks: int, *, max_retries: int = 2
) -> tuple[str, AliasReaders]:
    """Every answer is the chunk that was asked for, however often the model changes.

    Two of the models have the same dimension: a vector of one finds something among those of
    the other, and nobody but the oracle would notice. One wants questions and documents told
    apart, and finds nothing for a question that is embedded as a document; what the stub was
    asked by whom sends one text alone, as readers do, was all in the role of a query.
    """
    bot, asked_before = seeded(ground, CHUNKS), _asked_alone(ground)
    texts = dict(bot.history.initial)
    address = Address(
        f"{ground.url}/v1", ground.chatbot_token, ground.servers.milvus_url, bot.alias, max_retries
    )
    keys_of = {text: key for key, text in texts.items()}
    asks = {
        "openai, float": plain(address, "float"),
        "openai, base64": plain(address, "base64"),
        "langchain": langchain(address, keys_of),
        "haystack": haystack(address, keys_of),
    }
    every = switches // rollbacks if rollbacks else switches + 1
    with (
        llamaindex(f"{ground.url}/bots/{bot.bot_id}", ground.chatbot_token, keys_of) as asked,
        AliasReaders({**asks, "llamaindex": asked}, texts) as readers,
    ):
        for number, target in enumerate(
            islice(cycle([OTHER, IN_ROLES, LARGE, SMALL]), switches), 1
        ):
            if target == bot.pair()[1]:
                target = LARGE if target != LARGE else OTHER
            run = bot.start(target.in_manner(AS_IT_COMES), batch_size=20)  # in its known roles
            run.ends("completed", RESUME_SECONDS)
            if number % every == 0:
                run.roll_back().ends("completed", RESUME_SECONDS)
    asked = _asked_alone(ground) - asked_before
    in_roles = ", ".join(f"{asked[role]} {role}" for role in ("query", "document", "none"))
    if wrongly := asked.total() - asked["query"]:
        readers.wrong.append(f"{wrongly} questions were embedded in another role than a query's")
    told = ", ".join(
        f"{name} {readers.answered[name]} (longest {readers.longest[name]:.2f} s)"
        for name in readers.asks
    )
    counts = f"failed {len(readers.failed)}, wrong {len(readers.wrong)}"
    told = f"{switches} switches, {rollbacks} rollbacks: {told}; {counts}; questions that "
    return f"{told}{IN_ROLES.model} was asked, by role: {in_roles}", readers


def _asked_alone(ground: World) -> Counter[str]:
    """How many texts the stub was sent alone for the model with roles, by their role."""
    told = ground.provider.stats()["roles"].get(IN_ROLES.model, {})
    return Counter(told.get("alone", {}))
