"""The headers and the bytes of a signed message, as Standard Webhooks say.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from standardwebhooks.webhooks import Webhook

from migrations.settings import SignedSettings


class NoSecret(Exception):
    """The secret cannot be read just now; the message says why and not what stands there."""


def secrets_of(settings: SignedSettings) -> Sequence[str]:
    """Raises NoSecret."""
    try:
        return settings.secrets()
    except OSError as error:
        raise NoSecret(f"Its secret_file cannot be read: {error.strerror}.") from error
    except ValueError as error:  # of undecodable bytes as well, which it would repeat
        raise NoSecret("What stands in its secret_file is no secret.") from error


def signed(
    secrets: Sequence[str], message_id: str, body: Mapping[str, Any]
) -> tuple[dict[str, str], bytes]:
    """Signed with each secret, as of now: receivers refuse what is five minutes old."""
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    now = datetime.now(UTC)
    signatures = [Webhook(secret).sign(message_id, now, text) for secret in secrets]
    headers = {
        "content-type": "application/json",
        "user-agent": "reembed",
        "webhook-id": message_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": " ".join(signatures),
    }
    return headers, text.encode()
