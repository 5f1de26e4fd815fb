"""What the bot's present model says of the vectors that are stored, before they are left.

It shows that the texts we read are those that were embedded, and whether one could come
back: whatever would refuse the way back is known here, before anything is switched.
"""

from __future__ import annotations

from collections.abc import Sequence

from migrations.embedding.work import Work
from migrations.model.bots import Bot
from migrations.model.chunks import Chunk
from migrations.model.errors import DimensionMismatch
from migrations.model.proofs import How, Proof
from migrations.model.report import Report
from migrations.ports.embedders import PROVIDER_FAULTS
from migrations.proof.fidelity import Verdict, judge_found, proof_of


def examine_vectors(
    work: Work,
    bot: Bot,
    sampled: Sequence[Chunk],
    report: Report,
    *,
    agreed: bool,
    way_back: bool,
    by: str,
) -> Proof | None:
    """Does the present model, given the texts we read, reproduce the vectors that are stored?

    One that does not answer may be gone for good, which is a reason to migrate: then
    somebody has to have ``agreed`` to go on. On a way back the text was proven when the bot
    came from there, so nothing here stops it.

    Returns:
        What was found, in the name of ``by``; None where the bot's own proof still is all
        there is.
    """
    ref = bot.live.embedding
    try:
        verdict = judge_found(work, ref, sampled, bot.recipe, "validation")
    except DimensionMismatch as error:
        if not way_back:
            raise  # it answers, and cannot have made these vectors
        why, code = error.message, error.code
    except PROVIDER_FAULTS as error:
        why, code = error.message, error.code
    else:
        if sampled and not verdict.cosines:
            why = "Every text of the sample is longer than the old model takes."
            _report_unproven(report, bot, why, agreed=agreed)
            return None if _is_proven(bot) else _proof(work, bot, by, How.STATED, verdict)
        _report_verdict(report, bot, verdict, way_back=way_back)
        return _proof(work, bot, by, How.REPRODUCED, verdict)
    told = f"The old model does not answer ({why}), and rolling back later cannot embed new writes."
    _report_unproven(report, bot, told, agreed=agreed, code=code)
    if _is_proven(bot):
        return None
    return Proof(
        how=How.STATED,
        by=by,
        at=work.services.now(),
        embedding=ref,
        closes_way_back=f"{ref} did not answer when the bot left it ({why}), so nothing shows that "
        "going back to its vectors would pass. Once it answers, start a migration to it.",
    )


def leave_unasked(work: Work, bot: Bot, report: Report, *, by: str) -> Proof:
    """Nothing is asked of a model that is gone; what is lost with it is told.

    Returns:
        Who has said so.
    """
    ref, collection = bot.live.embedding, bot.live.collection
    hours = work.services.settings.retention_hours
    shown = f" It was shown on {bot.proof.at:%Y-%m-%d}." if bot.proof and _is_proven(bot) else ""
    report.add(
        "fidelity",
        False,
        f"{ref} is said to be gone and is not asked, so nothing shows now that {bot.recipe} is "
        f"what was embedded.{shown}",
        severity="warning",
    )
    report.add(
        "way_back",
        False,
        f"Without {ref} there is no rollback after the switch: what is written then could not be "
        f"embedded for {collection!r}. That collection stays as it is and can be read for "
        f"{hours:g} hours, by whoever still has vectors of that model to ask it "
        "with.",
        severity="warning",
    )
    return Proof(
        how=How.STATED,
        by=by,
        at=work.services.now(),
        embedding=ref,
        closes_way_back=f"The migration was started with old_model_gone: {ref} was not asked, and "
        "what was written since the switch could not be embedded by it.",
    )


def _is_proven(bot: Bot) -> bool:
    """Whether the text was proven before, by the model that the bot has now."""
    proof = bot.proof
    return (
        proof is not None
        and proof.how is How.REPRODUCED
        and proof.embedding == bot.live.embedding
        and proof.closes_way_back is None
    )


def _report_unproven(report: Report, bot: Bot, why: str, *, agreed: bool, **details: str) -> None:
    """An error until somebody answers for it: a wrong text would pass every later check."""
    report.add(
        "fidelity",
        False,
        f"{why} Nothing shows that {bot.recipe} is what was embedded"
        + (
            "; it was started with unproven_text."
            if agreed
            else ": if it is, start with unproven_text true."
        ),
        severity="warning" if agreed else "error",
        **details,
    )


def _report_verdict(report: Report, bot: Bot, verdict: Verdict, *, way_back: bool) -> None:
    judged, below = len(verdict.cosines), len(verdict.strangers)
    alike = min(verdict.echoes, default=1.0)
    report.add(
        "fidelity",
        not below,
        f"The old model reproduces the stored vectors of {judged} chunks with a median cosine of "
        f"{verdict.median:.4f}"
        + (f"; {below} are below {verdict.threshold}" if below else "")
        + (f" (asked twice, it answers alike to {alike:.4f})" if below and alike < 1 else "")
        + (
            "."
            if verdict.passed
            else f"; {bot.recipe} may not be the text that was embedded, or not all of it."
        ),
        severity="warning" if way_back else verdict.severity,
        median_cosine=verdict.median,
        chunks=judged,
        below=below,
        threshold=verdict.threshold,
        reproduces=alike,
    )


def _proof(work: Work, bot: Bot, by: str, how: How, verdict: Verdict) -> Proof:
    ref, judged, below = bot.live.embedding, len(verdict.cosines), len(verdict.strangers)
    closes = (
        f"{ref} did not give the stored vectors again when the bot left it ({below} of {judged} "
        "were others), so going back to them would not pass. Start a migration to it instead."
    )
    proof = proof_of(verdict, how, ref, by=by, at=work.services.now())
    return proof if verdict.passed else proof.model_copy(update={"closes_way_back": closes})
