"""The signed part of an unsubscribe link: what it stops, and a proof that we made it (RFC 8058).

A link needs no login, so it can do one thing only, for one reader. It does not expire: it stands in e-mails that
people keep. Secrets can be rolled: every known one verifies, the first one signs.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from notification.preferences import TOPICS, Subscription

_VERSION: Final = "v1"
_PURPOSE: Final = b"connected-inbox unsubscribe links "
_MAC_BYTES: Final = 20


def signing_key(secret: str) -> bytes:
    """The key of this version of links: a secret that also signs something else signs no link with the same key."""
    return hmac.digest(secret.encode(), _PURPOSE + _VERSION.encode(), hashlib.sha256)


class UnsubscribeLinks:
    """Makes and reads links under `public_url`; the first of the `keys` signs, each of them verifies."""

    def __init__(self, public_url: str, keys: Sequence[bytes]) -> None:
        self._base = f"{public_url.rstrip('/')}/v1/unsubscribe/"
        self._keys = tuple(keys)
        # Whoever gets one e-mail of an inbox gets more of it.
        self.signed = lru_cache(maxsize=1_000)(self._signed)

    def link(self, subscription: Subscription) -> str:
        """The address that stops a subscription."""
        return self._base + self.signed(subscription)

    def _signed(self, subscription: Subscription) -> str:
        s = subscription
        content = json.dumps([s.account_id, s.inbox_id, s.user_id, s.topic], separators=(",", ":"), ensure_ascii=False)
        payload = f"{_VERSION}.{_encoded(content.encode())}"
        return f"{payload}.{_encoded(_mac(self._keys[0], payload))}"

    def read(self, signed: str) -> Subscription | None:
        """What a link stops; None for one that was not made here."""
        payload, _, given = signed.rpartition(".")
        try:
            mac = _decoded(given)
        except ValueError:
            return None
        if not any(hmac.compare_digest(_mac(key, payload), mac) for key in self._keys):
            return None
        version, _, content = payload.partition(".")
        if version != _VERSION:
            return None
        account_id, inbox_id, user_id, topic = json.loads(_decoded(content))
        return Subscription(account_id, inbox_id, user_id, topic) if topic in TOPICS else None


def _mac(key: bytes, payload: str) -> bytes:
    return hmac.digest(key, payload.encode(), hashlib.sha256)[:_MAC_BYTES]


def _encoded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("is not base64") from None
