"""Run the stub provider as a process: ``python -m devstack.provider --port 9100``."""

from __future__ import annotations

import argparse
import signal
import sys

from devstack.provider.server import OPENAI_MODELS, StubProvider


def main() -> None:
    options = _options()
    provider = StubProvider(
        OPENAI_MODELS | dict(options.model), port=options.port, accepted_key=options.accepted_key
    )
    provider.latency_seconds = options.latency_seconds
    provider.limit(
        options.requests_per_minute, options.tokens_per_minute, burst_seconds=options.burst_seconds
    )
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    # One line that a parent can wait for and read the port from.
    print(provider.base_url, flush=True)
    try:
        provider.serve()
    except KeyboardInterrupt:
        return


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m devstack.provider", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 for any free one")
    parser.add_argument(
        "--model", type=_model, action="append", default=[], metavar="NAME=DIMENSION",
        help="a model beside OpenAI's; may be given again",
    )  # fmt: skip
    parser.add_argument("--accepted-key", help="refuse every other key")
    parser.add_argument("--latency-seconds", type=float, default=0.0)
    parser.add_argument("--requests-per-minute", type=float)
    parser.add_argument("--tokens-per-minute", type=float)
    parser.add_argument("--burst-seconds", type=float, default=60.0)
    return parser.parse_args()


def _model(given: str) -> tuple[str, int]:
    name, _, dimension = given.partition("=")
    return name, int(dimension)


if __name__ == "__main__":
    main()
