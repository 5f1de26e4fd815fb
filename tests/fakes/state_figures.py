"""The fake state store's figures."""

from __future__ import annotations

from collections import Counter
from datetime import datetime

from migrations.model.figures import (
    BotFigures,
    Figures,
    JournalFigures,
    NotificationFigures,
    OutboxFigures,
    RunFigures,
)
from migrations.model.states import LIVE, Status
from tests.fakes.state_rows import StateRows


class FakeFigures(StateRows):
    def figures(self) -> Figures:
        with self._transaction() as now:
            return Figures(
                runs=self._run_figures(now),
                bots=self._bot_figures(now),
                kept=Counter(one.reason for one in self._held_ones.values()),
                conflicts=Counter(
                    one.reason for kept in self._conflicts.values() for one in kept.values()
                ),
                journals=self._journal_figures(now),
                outbox=self._outbox_figures(now),
                notifications=self._notification_figures(now),
            )

    def _run_figures(self, now: datetime) -> RunFigures:
        live = [m for m in self._all() if m.status in LIVE]
        driven = self._driven()
        waiting = [
            datetime.fromisoformat(m.decision["since"]) for m in live if m.status is Status.WAITING
        ]
        return RunFigures(
            by_status=Counter((m.kind, m.status) for m in self._all()),
            by_phase=Counter(m.phase for m in driven),
            longest_silence_seconds=_since(now, [m.heartbeat_at for m in driven]),
            highest_epoch=max((m.epoch for m in driven), default=0),
            longest_wait_seconds=_since(now, waiting),
            total_chunks=sum(m.totals.get("total_chunks", 0) for m in live),
            processed_chunks=sum(m.totals.get("processed_chunks", 0) for m in live),
            failed_chunks=sum(m.totals.get("failed_chunks", 0) for m in live),
            failed_by_code=Counter(
                chunk.code for m in live for chunk in self._failed[m.id].values()
            ),
        )

    def _bot_figures(self, now: datetime) -> BotFigures:
        bots = self._bots.values()
        ends = [b.previous.expires_at for b in bots if b.previous and b.previous.expires_at > now]
        return BotFigures(
            bots=len(bots),
            with_way_back=len(ends),
            first_end_seconds=(min(ends) - now).total_seconds() if ends else None,
            aliases_behind=sum(bot.alias_behind is not None for bot in bots),
        )

    def _journal_figures(self, now: datetime) -> JournalFigures:
        rows = self._journals.values()
        return JournalFigures(
            waiting_writes=sum(row.last - row.applied for row in rows),
            oldest_seconds=_since(
                now, [row.entries[row.applied + 1][1] for row in rows if row.last > row.applied]
            ),
            failed_writes=sum(len(row.failed) for row in rows),
        )

    def _outbox_figures(self, now: datetime) -> OutboxFigures:
        unsent = [posted.created_at for posted in self._unsent()]
        return OutboxFigures(len(unsent), _since(now, unsent))

    def _notification_figures(self, now: datetime) -> NotificationFigures:
        rows = self._deliveries.values()
        waiting = [row.delivery.created_at for row in rows if row.is_open]
        given_up = sum(row.is_given_up for row in rows)
        return NotificationFigures(len(waiting), _since(now, waiting), given_up)


def _since(now: datetime, times: list[datetime]) -> float:
    return max(0.0, (now - min(times)).total_seconds()) if times else 0.0
