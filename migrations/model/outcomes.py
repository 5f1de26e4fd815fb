"""What a phase hands over when it is done; lifecycle says where each of it is kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from migrations.model.chunks import Content
from migrations.model.proofs import Proof
from migrations.model.report import Report
from migrations.model.runs import RollbackInfo


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The phase is done, and there is nothing to say but perhaps warnings."""

    warnings: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class Validated(Outcome):
    report: Report
    #: What the present model said of the vectors it is said to have made; None: nothing new.
    proof: Proof | None = None


@dataclass(frozen=True, kw_only=True)
class BackedUp(Outcome):
    info: RollbackInfo


@dataclass(frozen=True, kw_only=True)
class Moved(Outcome):
    """The target holds what the source held."""

    #: The source as it was last read.
    source: Content
    failed_chunks: int
    #: Whether the target may lack rows that Milvus had acknowledged before a crash.
    may_lack_rows: bool
    #: Chunks that catching up has written or deleted, and those of its last pass alone.
    caught_up: int = 0
    remaining: int = 0


@dataclass(frozen=True, kw_only=True)
class Verified(Outcome):
    report: Report
    #: In which the source was kept as it was compared; None when nothing was compared.
    snapshot_in_epoch: int | None = None
