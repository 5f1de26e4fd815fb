"""How a command ends, as a script sees it. ``docs/howto/cli.md`` has the same list."""

from __future__ import annotations

from enum import IntEnum

import click


class Exit(IntEnum):
    #: It was done.
    DONE = 0
    #: The API has refused it, a check has not passed, or you have said no.
    REFUSED = 1
    #: The command was not understood, or knows no address or no token.
    USAGE = 2
    #: The API is away or cannot answer just now; the same command may do later.
    AWAY = 3
    #: What was watched ended otherwise than ``--until`` says.
    OTHERWISE = 4
    #: The doctor has found what does not fail yet.
    WARNED = 5


#: As a shell has it, of a command that somebody has interrupted.
INTERRUPTED = 130


class Ended(click.ClickException):
    """A sentence on the standard error, and how the command ends."""

    def __init__(self, message: str, code: Exit) -> None:
        super().__init__(message)
        self.exit_code = int(code)  # type: ignore[misc] # click documents it as each one's own

    def show(self, file: object = None) -> None:
        click.echo(self.format_message(), err=True)


class Away(Ended):
    """Nothing that is reembed has answered."""

    def __init__(self, message: str) -> None:
        super().__init__(message, Exit.AWAY)
