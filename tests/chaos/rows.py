"""The rows of the fault matrix: each a scenario and what it is run with, or why it is left out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from tests.harness.ground import Ground
from tests.scenarios import (
    cancels,
    cooperating,
    deaths,
    lost_writes,
    messages,
    operating,
    outages,
    providers,
    redis_losses,
    stragglers,
    switching,
    way_back,
    zombies,
)


@dataclass(frozen=True)
class Row:
    """``id`` is the matrix's, with a letter or a word where one row has several parts."""

    id: str
    what: str
    run: Callable[[Ground], str]
    #: On the real Milvus: milvus-lite forgets what it has acknowledged and not flushed.
    real: bool = False
    #: Environment variables that it needs to be otherwise; it then has workers of its own.
    settings: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class LeftOut:
    id: str
    reason: str


def matrix() -> Iterator[Row]:
    """Every row that concerns what exists, in the matrix's order."""
    yield from _deaths()
    yield from _zombies()
    yield from _operating()
    yield from _messages()
    yield from _redis()
    yield from _postgres()
    yield from _milvus()
    yield from _provider()
    yield from _writers_and_operators()
    yield from _way_back()


def _deaths() -> Iterator[Row]:
    # A worker is one process: F01's child and F02's parent die together.
    for number, points in enumerate(_groups(deaths.FORWARD, 3)):
        yield Row(
            f"F01-{number + 1:02}",
            f"SIGKILL at {', '.join(points)}",
            lambda g, points=points: deaths.killed_at(g, *points),
        )
    for point in deaths.UNDOING:
        yield Row(
            f"F02-{point.partition('.')[0]}",
            f"SIGKILL at {point}",
            lambda g, point=point: deaths.killed_while_undoing(g, point),
        )
    yield Row("F03", "SIGKILL after upsert, before mark", deaths.killed_between_storing_and_marking)


def _zombies() -> Iterator[Row]:
    for point in ("batch.before_upsert", "verification.before_run", "finalization.before_switch"):
        yield Row(
            f"F04-{point.partition('.')[0]}",
            f"SIGSTOP at {point}, replaced, SIGCONT",
            lambda g, point=point: zombies.stopped_at(g, point),
        )
    yield Row("F04-undo", "SIGSTOP in an undo, replaced, SIGCONT", zombies.stopped_while_undoing)
    yield Row("F04-watchdog", "SIGSTOP with the watch in hand", zombies.stopped_watchdog)
    yield Row("F05", "a late alias change after the way back", zombies.late_alias_change)


def _operating() -> Iterator[Row]:
    yield Row("F07", "a text the model cannot take", providers.poison)
    yield Row("F08", "ten rolling restarts", lambda g: operating.rolling_restarts(g, 10))
    for point in ("data_migration.before_call", "verification.before_run"):
        yield Row(
            f"F08-{point.partition('.')[0]}",
            f"SIGTERM while waiting at {point}",
            lambda g, point=point: operating.ended_while_waiting(g, point),
        )


def _messages() -> Iterator[Row]:
    yield Row("F09", "published again after a lost reply", messages.outbox_sent_again)
    yield Row("F10", "delivered again while at work, shuffled", messages.doubled)
    yield Row("F11", "everything in the broker lost", messages.lost)
    yield Row("F12", "the compensation's message lost", messages.compensation_lost)
    yield Row(
        "F13",
        "revoked, and every worker restarted",
        lambda g: cancels.cancelled(g, "revoke", restarting=True),
    )


def _redis() -> Iterator[Row]:
    yield Row("F14-flushall", "FLUSHALL", redis_losses.flushed)
    yield Row("F14-empty", "restarted without its data", redis_losses.restarted_empty)
    yield Row("F14-restart", "killed and restarted", redis_losses.restarted)
    yield Row("F15", "an old dump restored", redis_losses.restored_from_old_dump)
    yield Row("F16", "down for 20 s (plan: 15 min)", lambda g: outages.refused(g, "redis", 20))
    yield Row("F17", "half of the keys evicted", redis_losses.keys_evicted)


def _postgres() -> Iterator[Row]:
    yield Row("F18-restart", "killed and restarted", lambda g: outages.restarted(g, "postgres"))
    yield Row("F18-resets", "reset", lambda g: outages.cut_again_and_again(g, "postgres"))
    yield Row("F18-down", "down for 15 s", lambda g: outages.refused(g, "postgres", 15))
    yield Row("F19", "reply to the switch's commit lost", outages.commit_reply_lost)
    yield Row("F20", "the bot's row held for 12 s", lambda g: outages.bot_row_held(g, 12))


def _milvus() -> Iterator[Row]:
    yield Row("F24", "reset in mid-upsert", lambda g: outages.cut_again_and_again(g, "milvus"))
    yield Row("F25", "silent for 12 s, then late", lambda g: outages.silent(g, "milvus", 12))
    yield Row("F26", "made, reply lost", operating.creation_reply_lost)
    yield Row("F27", "the name is taken", operating.name_taken)
    yield Row("F28", "away when the alias follows", lambda g: outages.alias_unreachable(g, 10))
    yield Row("F29", "alias set, reply lost", outages.alias_reply_lost)
    yield Row(
        "F30",
        "200 switches under 50 readers of the pair",
        lambda g: switching.back_and_forth(g.servers, g.milvus, switches=200),
    )
    yield Row("F31", "killed and restarted in verification", outages.restarted_in_verification)
    data = "the real one, killed and restarted"
    yield Row("F31-data", data, lambda g: outages.restarted(g, "milvus"), real=True)
    yield Row("F32", "flushed and compacted all along", operating.flushed_and_compacted)
    yield from _lost_writes()
    yield Row("F36", "target released before the switch", operating.released_before_the_switch)


def _lost_writes() -> Iterator[Row]:
    yield Row(
        "F32b-before",
        "deletions of verification undone before the last catching up",
        lost_writes.back_before_the_last_catching_up,
        real=True,
    )
    for point in (
        "finalization.before_intent",
        "finalization.before_switch",
        "finalization.after_alias",
    ):
        yield Row(
            f"F32b-{point.partition('.')[2]}",
            f"deletions of the last pass undone at {point}",
            lambda g, point=point: lost_writes.back_at(g, point),
            real=True,
        )
    yield Row(
        "F32b-engine",
        "twenty runs, their last flush at the end of a compaction",
        lambda g: lost_writes.lost_by_milvus(g, 20),
        real=True,
        settings=lost_writes.SETTINGS,
    )


def _provider() -> Iterator[Row]:
    yield Row("F37-refusing", "429, resets and 500 for 15 s", lambda g: providers.outage(g, 15))
    yield Row("F37-hanging", "answers that never come", providers.hanging)
    yield Row("F38-once", "each kind of nonsense once", providers.nonsense_once)
    for kind in providers.LASTING:
        yield Row(
            f"F38-{kind}", "and never right again", lambda g, k=kind: providers.wrong_for_good(g, k)
        )
    yield Row("F38-swapped", "vectors given to the wrong texts", providers.swapped)
    yield Row("F39", "another model under the same name", providers.drifted)
    yield Row("F40", "the old model is gone at the way back", way_back.old_model_gone)


def _writers_and_operators() -> Iterator[Row]:
    yield Row("F43", "a foreign writer until finalization", operating.foreign_writer)
    yield Row(
        "F43-kills",
        "a foreign writer and four kills",
        lambda g: operating.foreign_writer(g, kills=4),
    )
    yield Row("F41", "writers through us, there, back and there", cooperating.through_everything)
    yield Row(
        "F41-kills",
        "the same at 200 a second, with 30 kills",
        lambda g: cooperating.through_everything(g, kills=30, per_second=200),
    )
    for point in cooperating.POINTS:
        yield Row(
            f"F41-{point}",
            f"writers through us, SIGKILL at {point}",
            lambda g, point=point: cooperating.killed_at(g, point),
        )
    yield Row("F42", "one key again and again at the switch", cooperating.same_key_at_the_switch)
    yield Row(
        "F44",
        "written between the last pass and the switch",
        stragglers.between_catching_up_and_switch,
    )
    yield Row("F45", "written after the switch by the old name", stragglers.after_the_switch)
    yield Row("F48", "cancelled at boundaries", operating.cancelled_at_every_boundary)
    for way in cancels.WAYS:
        yield Row(
            f"F48-{way.replace(' ', '-')}",
            f"cancelled by {way}",
            lambda g, way=way: cancels.cancelled(g, way),
        )
        yield Row(
            f"F48-{way.replace(' ', '-')}-restart",
            f"cancelled by {way}, every worker restarted",
            lambda g, way=way: cancels.cancelled(g, way, restarting=True),
        )
    yield Row("F49", "deadline at boundaries", operating.deadline_at_every_boundary)
    yield Row("F49-stuck", "deadline, batch workers stopped", operating.timed_out_while_stuck)
    yield Row("F50", "two starts, two rollbacks", operating.starts_and_rollbacks_at_once)


def _way_back() -> Iterator[Row]:
    yield Row("F51", "writes, back; and again", lambda g: way_back.there_and_back(g, 60))
    undo = "new_collection_creation.before_undo"
    yield Row(
        "F52-passing",
        "an undo fails twice",
        lambda g: operating.failing_undo(g, undo, times=2),
    )
    yield Row(
        "F52-lasting",
        "an undo keeps failing",
        lambda g: operating.failing_undo(g, undo, times=None),
    )
    for point in (
        "data_migration.before_run",
        "catch_up.before_run",
        "verification.before_run",
        "finalization.before_switch",
        "finalization.after_switch",
        "cleanup.before_run",
    ):
        yield Row(
            f"F53-{point}",
            f"SIGKILL at {point} on the way back",
            lambda g, point=point: way_back.killed_on_the_way_back(g, point),
        )
    for point in way_back.AT_ONCE:
        yield Row(
            f"F53-at-once-{point}",
            f"SIGKILL at {point} of a switch back that comes first",
            lambda g, point=point: way_back.killed_on_the_way_back_at_once(g, point),
        )
    for name in ("postgres", "redis", "milvus"):
        yield Row(
            f"F57-{name}",
            f"workers and {name} cut apart for 15 s (plan: 5 min)",
            lambda g, name=name: outages.silent(g, name, 15),
        )


def _groups(points: tuple[str, ...], size: int) -> Iterator[tuple[str, ...]]:
    # Spread over the run, so that the kills of a group do not all fall on one moment.
    count = -(-len(points) // size)
    yield from (points[start::count] for start in range(count))


#: Rows of the matrix that are not run here.
LEFT_OUT = (
    LeftOut("F06", "clocks of hosts: leases and deadlines use PostgreSQL's and Redis' own clocks"),
    LeftOut("F21", "needs a PostgreSQL replica to fail over to"),
    LeftOut("F22", "commits out of order: tests/integration/test_journal_concurrency.py"),
    LeftOut("F23", "a full disk needs its own disk; busy pools: test_state_store_connection.py"),
    LeftOut("F33", "a scan that drops or repeats rows: tests/unit/test_milvus_scan.py"),
    LeftOut("F34", "quotas are not in either of the Milvus servers we start"),
    LeftOut("F35", "one Milvus node only; a target that is not loaded is F36"),
    LeftOut("F46", "writes just before a drop: tests/integration/test_way_back_on_milvus.py"),
    LeftOut("F47", "there is no fence of grants"),
    LeftOut("F54", "drops decided on stale reads: tests/unit/test_purge.py"),
    LeftOut("F55", "shapes of data: tests/contract/test_vector_store_engines.py"),
    LeftOut("F56", "two versions of the code: tests/upgrade"),
    LeftOut("F58", "a full disk needs a disk of its own"),
)
