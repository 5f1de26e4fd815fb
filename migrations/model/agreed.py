"""What whoever starts a migration has agreed to beforehand."""

from __future__ import annotations

from dataclasses import dataclass, fields

from migrations.model.config import (
    DuplicateKeys,
    Keys,
    MigrationConfig,
    OverLong,
    VectorLengths,
)


@dataclass(frozen=True)
class Agreed:
    """What whoever starts the run has agreed to: nothing, as it comes."""

    max_failed_ratio: float = 0.0
    over_long: OverLong = OverLong.REFUSE
    duplicate_keys: DuplicateKeys = DuplicateKeys.REFUSE
    keys: Keys = Keys.KEEP
    #: That nothing shows that the bot's text is what was embedded.
    unproven_text: bool = False
    #: That the present model is not asked for anything, and that there is no way back.
    old_model_gone: bool = False
    vector_lengths: VectorLengths = VectorLengths.REFUSE
    #: That the target's roles are meant, whatever is known of its model.
    unusual_roles: bool = False
    #: The field by whose values what is found is also told and judged.
    slice_by: str | None = None
    #: It goes back to vectors that were judged when the bot left them: nothing of what is
    #: left now may keep it from that.
    way_back: bool = False

    @classmethod
    def by(cls, config: MigrationConfig, *, way_back: bool = False) -> Agreed:
        of_run = {one.name for one in fields(cls)} - {"way_back"}
        return cls(**{name: getattr(config, name) for name in of_run}, way_back=way_back)


NOTHING_AGREED = Agreed()
