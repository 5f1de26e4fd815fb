"""How a package, in a process of its own, is told what to do: a line of JSON, and one back.

It may ask for embeddings before it answers: the models are its caller's. Whatever the
package itself prints goes to the error output.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Callable, Mapping
from typing import Any

_answers = os.fdopen(os.dup(1), "w", buffering=1)
os.dup2(2, 1)


def serve(commands: Mapping[str, Callable[..., Any]]) -> None:
    """Do what is asked, by the name of a command and its arguments, until nothing more is."""
    for line in sys.stdin:
        asked = json.loads(line)
        try:
            answer = {"done": commands[asked.pop("command")](**asked)}
        except Exception:
            answer = {"failed": traceback.format_exc()}
        _say(answer)


def embed(dimension: int, texts: list[str]) -> list[list[float]]:
    """What the bot's model of this dimension answers."""
    _say({"embed": texts, "dimension": dimension})
    answer: list[list[float]] = json.loads(sys.stdin.readline())
    return answer


def _say(what: Mapping[str, Any]) -> None:
    _answers.write(json.dumps(what) + "\n")
