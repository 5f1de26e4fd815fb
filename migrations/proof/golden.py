"""The owner's own questions, asked of both sides, each with its own model.

Where it is known which chunks answer a question, nDCG and recall say how well each side ranks
them (Järvelin and Kekäläinen 2002, with relevance 0 or 1); where not, how many of the results
are the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from migrations.embedding.asking import Vector
from migrations.model.chunks import CollectionSchema, Hit
from migrations.model.golden import GoldenQuery
from migrations.model.report import Report
from migrations.ports.embedders import PROVIDER_FAULTS
from migrations.ports.vector_store import Moment
from migrations.proof.gates import judge_share
from migrations.proof.questions import ask, embed_questions
from migrations.run.run import Run

#: Questions that are named because they lost most.
WORST = 10


@dataclass(frozen=True)
class _Answered:
    query: GoldenQuery
    old: Sequence[str]
    new: Sequence[str]


def judge_golden(run: Run, as_of: Moment, report: Report) -> None:
    """Ask both collections the bot's golden queries."""
    queries = run.patiently(lambda: run.services.store.golden_queries(run.bot.bot_id))
    if not queries:
        report.add("golden_queries", True, "The bot has no golden queries.", queries=0)
        return
    texts, config = [query.text for query in queries], run.migration.config
    try:
        old = embed_questions(run, config.source, texts, insist=False)
    except PROVIDER_FAULTS as error:
        told = f"Golden queries were not compared: the old model does not answer: {error.message}"
        report.add("golden_queries", False, told, severity="warning", queries=0)
        return
    new = embed_questions(run, config.target, texts, insist=True)
    answered = run.patiently(lambda: _ask_both(run, queries, old, new, as_of))
    refused = len(queries) - len(answered)
    _judge_overlap(run, answered, refused, report)
    _judge_relevance(run, [one for one in answered if one.query.relevant], report)


def _ask_both(
    run: Run,
    queries: Sequence[GoldenQuery],
    old: Mapping[str, Vector],
    new: Mapping[str, Vector],
    as_of: Moment,
) -> list[_Answered]:
    """Without those that either model refuses."""
    asked = [query for query in queries if query.text in old and query.text in new]
    if not asked:
        return []

    def keys(schema: CollectionSchema, vectors: Mapping[str, Vector]) -> list[list[str]]:
        stack = np.stack([vectors[query.text] for query in asked])
        hits = ask(run, schema, stack, run.services.settings.recall_at, as_of)
        return [_keys(found) for found in hits]

    both = zip(asked, keys(run.source, old), keys(run.target, new), strict=True)
    return [_Answered(*one) for one in both]


def _keys(hits: Sequence[Hit]) -> list[str]:
    """As text: a key may be written as a number or as its digits."""
    return [str(hit.key) for hit in hits]


def _judge_overlap(run: Run, answered: Sequence[_Answered], refused: int, report: Report) -> None:
    shares = [len({*one.old} & {*one.new}) / len(one.old) for one in answered if one.old]
    if not shares:
        told = f"None of {len(answered) + refused} golden queries could be asked of both sides."
        report.add("golden_queries", False, told, severity="warning", queries=0, refused=refused)
        return
    mean, k = float(np.mean(shares)), run.services.settings.recall_at
    judge_share(
        run,
        report,
        "golden_queries",
        "golden_overlap",
        mean,
        f"Of the first {k} results of {len(shares)} golden queries {mean:.1%} are the same.",
        queries=len(shares),
        refused=refused,
        k=k,
    )


def _judge_relevance(run: Run, answered: Sequence[_Answered], report: Report) -> None:
    if not answered:
        return
    for gate, measure, name in (
        ("golden_ndcg", ndcg, "nDCG"),
        ("golden_recall", recall, "recall"),
    ):
        before = [measure(one.old, one.query.relevant) for one in answered]
        after = [measure(one.new, one.query.relevant) for one in answered]
        k = run.services.settings.recall_at
        old, new = float(np.mean(before)), float(np.mean(after))
        judge_share(
            run,
            report,
            gate,
            gate,
            new,
            f"{len(answered)} golden queries with relevant keys: {name}@{k} {old:.3f} before, "
            f"{new:.3f} after.",
            of=old,
            before=round(old, 4),
            after=round(new, 4),
            worst=_worst(answered, before, after),
        )


def ndcg(keys: Sequence[str], relevant: Sequence[Any]) -> float:
    """Of this ranking, with relevance 0 or 1; 1 where what is relevant comes first."""
    wanted = {str(key) for key in relevant}
    gains = 1 / np.log2(np.arange(2, len(keys) + 2))
    gained = sum(gain for gain, key in zip(gains, keys, strict=True) if key in wanted)
    best = gains[: len(wanted)].sum()
    return float(gained / best) if best else 0.0


def recall(keys: Sequence[str], relevant: Sequence[Any]) -> float:
    """The share of the relevant keys that are among these."""
    wanted = {str(key) for key in relevant}
    return len(wanted & set(keys)) / len(wanted)


def _worst(
    answered: Sequence[_Answered], before: Sequence[float], after: Sequence[float]
) -> list[dict[str, Any]]:
    """Those that lost most, without their texts, which are in the bot's list."""
    lost = sorted(zip(before, after, answered, strict=True), key=lambda one: one[1] - one[0])
    return [
        {"id": one.query.id, "before": round(b, 4), "after": round(a, 4)}
        for b, a, one in lost[:WORST]
        if a < b
    ]
