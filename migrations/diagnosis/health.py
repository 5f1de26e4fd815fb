"""How the services are, asked together and told to all who ask within a moment."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from migrations.diagnosis import dependencies
from migrations.model.errors import ReembedError
from migrations.model.findings import Finding, Severity
from migrations.process.briefly import Briefly

#: How long what was found is answered to whoever asks.
FRESH_SECONDS = 1.0

#: Answers with what is wrong although the service answers. Raises ReembedError when it does not.
Probe = Callable[[], Sequence[Finding]]


@dataclass
class Found:
    """What became of asking each service."""

    #: None, or why it does not answer.
    dependencies: dict[str, str | None] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)

    @property
    def errors(self) -> list[Finding]:
        return [one for one in self.findings if one.severity is Severity.ERROR]

    def add(self, name: str, answer: Probe) -> None:
        self.dependencies[name] = None
        try:
            self.findings += answer()
        except ReembedError as error:
            self.dependencies[name] = error.message
            self.findings.append(dependencies.silent(name, error))


class Health:
    """Of some services, each asked by its own :class:`Briefly`, so nobody waits for long."""

    def __init__(
        self, probes: Mapping[str, tuple[Briefly, Probe]], monotonic: Callable[[], float]
    ) -> None:
        self._probes = probes
        self._monotonic = monotonic
        self._asking = threading.Lock()
        self._found = Found()
        self._found_at = float("-inf")
        self._renewing = threading.Lock()

    def found(self) -> Found:
        """As it is now. Within a second all are told the same."""
        with self._asking:  # who asks meanwhile is told the same
            if self._age() >= FRESH_SECONDS:
                answers = {n: service.begin(probe) for n, (service, probe) in self._probes.items()}
                found = Found()
                for name, answer in answers.items():
                    found.add(name, answer)
                self._found, self._found_at = found, self._monotonic()
            return self._found

    def lately(self, stale_seconds: float) -> Found:
        """As it was within so many seconds, for who asks often and cannot wait.

        It is found out anew meanwhile, so that who asks every second hears it a second later.
        """
        return self.found() if self._age() >= stale_seconds else self.known()

    def known(self) -> Found:
        """As it was found last, at once; nothing at first. It is found out anew meanwhile."""
        if self._age() >= FRESH_SECONDS and self._renewing.acquire(blocking=False):
            threading.Thread(target=self._renew, name="reembed-health", daemon=True).start()
        return self._found

    def _renew(self) -> None:
        try:
            self.found()
        finally:
            self._renewing.release()

    def _age(self) -> float:
        return self._monotonic() - self._found_at
