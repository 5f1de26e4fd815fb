"""Everything that migrations stand on, looked at once, each with what is wrong and what to do.

Unlike :mod:`migrations.diagnosis.lookout` it takes its time: it tries in Milvus what a migration
does, on a collection of its own, and, where that was asked for, asks each model for a word.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from migrations.diagnosis.crew import CLOCKS_MAY_DIFFER_SECONDS
from migrations.diagnosis.lookout import Lookout
from migrations.diagnosis.settings_check import contradictions
from migrations.embedding.embed import embed_texts
from migrations.embedding.work import Errand
from migrations.model.bots import Bot
from migrations.model.checkup import Checkup, Looked
from migrations.model.config import EmbeddingRef
from migrations.model.errors import ReembedError, TransientError
from migrations.model.findings import Finding, Severity, warning
from migrations.model.release import release
from migrations.model.states import Status
from migrations.model.what_now import what_now
from migrations.model.workers import Worker
from migrations.process.briefly import Briefly
from migrations.process.services import Services

#: Bots that are looked at; of more, the first.
BOTS = 200
PATIENCE_SECONDS = 10.0
LEAST_FREE = 0.05
A_WORD = "reembed"


class Doctor:
    def __init__(self, services: Services) -> None:
        # Whoever asks for a doctor waits for an answer, also in a process that has just begun.
        self._services = replace(
            services,
            postgresql_briefly=Briefly(PATIENCE_SECONDS),
            redis_briefly=Briefly(PATIENCE_SECONDS),
            milvus_briefly=Briefly(PATIENCE_SECONDS),
        )
        self._lookout = Lookout(self._services)

    def examine(self, *, ask_providers: bool = False) -> Checkup:
        """With ``ask_providers`` each model in use is asked for one word, which is billed."""
        found = self._lookout.found()
        is_behind = any(one.code == "schema-behind" for one in found.findings)
        knows = found.dependencies["postgresql"] is None and not is_behind
        about = [one for one in _ABOUT if knows or one not in _KNOWN_BY_POSTGRESQL]
        looked = [*self._dependencies(about, found.findings), self._settings(), self._disk()]
        if found.dependencies["milvus"] is None:
            looked.append(self._privileges())
        if knows:
            looked += [self._workers(), self._migrations(), *self._bots(ask_providers)]
            if found.dependencies["milvus"] is None:
                looked.append(self._collections())
        return Checkup(tuple(looked))

    # --- services -----------------------------------------------------------------

    def _dependencies(
        self, services: Iterable[str], findings: Iterable[Finding]
    ) -> Iterator[Looked]:
        for about in services:
            mine = tuple(one for one in findings if one.code.startswith(_ABOUT[about]))
            if about == "redis" and not any(one.code == "redis-away" for one in mine):
                mine += tuple(self._forgetting())
            yield Looked(about, _WELL[about], mine)

    def _forgetting(self) -> list[Finding]:
        try:
            keeps = self._services.checkpoints.condition().keeps_on_disk
        except TransientError:
            return []
        if keeps:
            return []
        return [
            warning(
                "redis-forgets",
                "Redis keeps nothing on disk: a restart of it loses messages and checkpoints.",
                "Turn the append-only file on (appendonly yes). What is lost costs time and "
                "nothing else.",
            )
        ]

    def _privileges(self) -> Looked:
        try:
            tried = self._services.vectors.privileges()
        except ReembedError as error:
            unknown = warning(
                "milvus-privileges-unknown",
                f"What we may do in Milvus could not be tried: {error.message}",
                "Ask again when it answers.",
            )
            return Looked("privileges", "", (unknown,))
        refused = [
            Finding(
                "milvus-privilege",
                f"Milvus refuses {one.name}: {one.refusal}",
                f"Grant the privilege {one.name} to the role of the user in REEMBED_MILVUS_TOKEN.",
            )
            for one in tried
            if one.refusal is not None
        ]
        return Looked("privileges", f"All {len(tried)} that were tried are there.", tuple(refused))

    # --- this process ---------------------------------------------------------------

    def _settings(self) -> Looked:
        return Looked(
            "settings", "They do not contradict.", tuple(contradictions(self._services.settings))
        )

    def _disk(self) -> Looked:
        usage = shutil.disk_usage(Path.cwd())
        share = usage.free / usage.total if usage.total else 1.0
        said = f"{usage.free / 1e9:.1f} GB are free where this process runs."
        if share >= LEAST_FREE:
            return Looked("disk", said)
        short = warning(
            "disk-short", f"Only {said}", "Free some: logs stop, and services on this host, too."
        )
        return Looked("disk", said, (short,))

    # --- what the state store tells --------------------------------------------------

    def _workers(self) -> Looked:
        """Hosts are named, which the common sentences do not."""
        crew = self._lookout.crew()
        versions = {one.version for one in crew.alive}
        findings = [_clock(one) for one in crew.alive if _is_off(one)]
        if versions - {release()}:
            findings.append(
                warning(
                    "versions-differ",
                    f"Workers of version {', '.join(sorted(versions))} are alive, and this process "
                    f"is of version {release()}.",
                    "Finish the upgrade: schema first, then control workers, then batch workers.",
                )
            )
        names = ", ".join(f"{one.name} ({one.host}, {one.version})" for one in crew.alive)
        return Looked("workers at work", names or "None.", tuple(findings))

    def _migrations(self) -> Looked:
        store = self._services.store
        live = store.active()
        findings = [
            Finding(
                "needs-operator",
                f"Migration {one.id} of {one.bot_id} needs an operator.",
                what_now(one.id, one.status) or "",
            )
            for one in live
            if one.status is Status.NEEDS_OPERATOR
        ]
        common = {one.code for one in self._lookout.found().findings}
        for one in live:
            findings += [f for f in self._lookout.of_run(one) if f.code not in common]
        if unsent := store.unsent(UNSENT_SECONDS):
            findings.append(
                warning(
                    "messages-unsent",
                    f"{len(unsent)} messages are unsent for more than {UNSENT_SECONDS:.0f} s.",
                    "They are sent by themselves as soon as a worker is alive and Redis takes "
                    "them.",
                )
            )
        return Looked("migrations", f"{len(live)} are live.", tuple(findings))

    def _bots(self, ask: bool) -> Iterator[Looked]:
        bots = self._services.store.bots(limit=BOTS)
        used = {ref: bot for bot in bots for ref in _embeddings_of(bot)}
        findings = [found for ref in used for found in self._cannot_be_asked(ref)]
        configured = self._services.embedders.providers()
        mentioned = {ref.provider for ref in used}
        findings += [
            warning(
                "provider-key-unset",
                f"The provider {name!r} is configured, and its key is not set here.",
                "Set the variable that api_key_env names for the API and for the workers, or "
                "take the provider out of REEMBED_PROVIDERS.",
            )
            for name, has_key in configured.items()
            if not has_key and name not in mentioned and name != "openai"
        ]
        yield Looked("providers", f"{len(used)} embeddings are in use.", tuple(findings))
        if ask:
            yield Looked("answers of providers", "Each has answered.", tuple(self._asked(used)))
        behind = [
            warning(
                "alias-behind",
                f"The alias {bot.alias!r} of {bot.bot_id} does not point to {bot.live.collection!r}"
                " yet.",
                "A worker's watchdog moves it within seconds; if not, see its log for "
                "'duty_failed'.",
            )
            for bot in bots
            if bot.alias_behind is not None
        ]
        yield Looked("aliases", f"Those of {len(bots)} bots follow.", tuple(behind))

    def _cannot_be_asked(self, ref: EmbeddingRef) -> list[Finding]:
        try:
            for role in ref.roles:
                self._services.embedders.get(ref, role)
        except ReembedError as error:
            return [
                Finding(
                    error.code,
                    f"A bot uses {ref}, which cannot be asked here: {error.message}",
                    "Set it right in the environment of the API and of every worker, and restart "
                    "them.",
                )
            ]
        return []

    def _asked(self, used: dict[EmbeddingRef, Bot]) -> Iterator[Finding]:
        """One word by each model; of those that cannot be asked it was told already."""
        for ref, bot in used.items():
            if self._cannot_be_asked(ref):
                continue
            try:
                embed_texts(Errand.of(self._services, bot), ref, [A_WORD], "doctor")
            except ReembedError as error:
                yield Finding(
                    error.code,
                    f"{ref} does not answer: {error.message}",
                    "See 'the provider' in docs/operations/what-if.md.",
                )

    def _collections(self) -> Looked:
        bots = self._services.store.bots(limit=BOTS)
        missing = []
        for bot in bots:
            try:
                if not self._services.exists_briefly(bot.live.collection):
                    missing.append(bot)
            except ReembedError:  # it was told that Milvus does not answer
                break
        findings = [
            Finding(
                "collection-missing",
                f"The live collection {bot.live.collection!r} of {bot.bot_id} is not in Milvus.",
                "Restore it from a backup of Milvus, or remove the bot and register it anew.",
            )
            for bot in missing
        ]
        return Looked("collections", f"Those of {len(bots)} bots are there.", tuple(findings))


#: Longer than any pause between two tries.
UNSENT_SECONDS = 60.0
_ABOUT = {
    "postgresql": ("postgresql", "schema"),
    "workers": ("no-", "queue"),
    "clocks": ("clock",),
    "redis": ("redis",),
    "milvus": ("milvus",),
}
_KNOWN_BY_POSTGRESQL = {"workers", "clocks"}
_WELL = {
    "postgresql": "It answers, and has this version's schema.",
    "workers": "Every queue is read.",
    "clocks": f"None is more than {CLOCKS_MAY_DIFFER_SECONDS:.0f} s from PostgreSQL's.",
    "redis": "It answers, takes writes and evicts nothing.",
    "milvus": "It answers.",
}


def _embeddings_of(bot: Bot) -> Iterable[EmbeddingRef]:
    """What it answers with, and what it would go back to."""
    return [bot.live.embedding, *([bot.previous.embedding] if bot.previous else [])]


def _is_off(worker: Worker) -> bool:
    return abs(worker.clock_ahead_seconds) > CLOCKS_MAY_DIFFER_SECONDS


def _clock(worker: Worker) -> Finding:
    off = timedelta(seconds=round(abs(worker.clock_ahead_seconds)))
    direction = "ahead of" if worker.clock_ahead_seconds > 0 else "behind"
    return Finding(
        "clock-off-at",
        f"The clock of {worker.host} is {off} {direction} PostgreSQL's.",
        "Run a time service on it.",
        Severity.WARNING,
    )
