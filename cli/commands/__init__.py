"""The tree of commands: each file has those that belong together."""

from __future__ import annotations

import click

from cli.commands import (
    access,
    bots,
    chunks,
    conflicts,
    deciding,
    doctor,
    following,
    golden,
    history,
    kept,
    login,
    moving,
    paces,
    reading,
    spend,
    steering,
    workers,
)

_EPILOG = """\
The address and the token come from REEMBED_URL and REEMBED_TOKEN, else from what
'reembed login' has kept. Endings: 0 done, 1 refused, 2 not understood, 3 the API is
away, 4 ended otherwise than --until says, 5 the doctor warns.
"""


@click.group(
    epilog=_EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="reembed-milvus")
def reembed() -> None:
    """Move a bot to another embedding model, and back, by the API of reembed."""


for command in (
    login.login,
    login.logout,
    bots.bots,
    moving.validate,
    moving.estimate,
    moving.try_embedding,
    moving.start,
    following.watch,
    following.status,
    following.active,
    history.list_runs,
    history.events,
    kept.kept,
    conflicts.conflicts,
    spend.spend,
    following.report,
    deciding.cancel,
    deciding.switch,
    deciding.rollback,
    steering.pause,
    steering.resume,
    steering.throttle,
    steering.extend,
    steering.retry,
    paces.paces,
    reading.search,
    reading.live,
    chunks.chunks,
    golden.golden,
    access.tokens,
    access.grants,
    access.trail,
    workers.workers,
    doctor.doctor,
):
    reembed.add_command(command)
