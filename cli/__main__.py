"""``python -m cli`` is ``reembed``."""

from __future__ import annotations

from cli.commands import reembed

if __name__ == "__main__":
    reembed(prog_name="reembed")
