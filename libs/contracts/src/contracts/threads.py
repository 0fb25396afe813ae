"""How communications group into threads."""

from __future__ import annotations

from functools import lru_cache
from hashlib import sha1
from typing import Final
from uuid import UUID

from contracts.numbers import ANONYMOUS

_THREADS: Final = UUID("2c8e0d3b-90b1-5d57-8a52-5b3c2f3b9b64").bytes
_VARIANT: Final = dict(zip("0123456789abcdef", "89ab" * 4, strict=True))


@lru_cache(maxsize=1_000)
def thread_id(account_id: str, inbox_id: str, contact_number: str, communication_id: str) -> str:
    """The thread of a communication: one per inbox and contact, one per call where the number is withheld."""
    contact = f"{ANONYMOUS}/{communication_id}" if contact_number == ANONYMOUS else contact_number
    return _uuid5(f"{account_id}/{inbox_id}/{contact}")


def _uuid5(name: str) -> str:
    """A version 5 UUID (RFC 9562 §5.5) as text: what `uuid.uuid5` gives, without the object, in a third of the time."""
    text = sha1(_THREADS + name.encode(), usedforsecurity=False).hexdigest()
    # The version's digit, and the two bits of the variant.
    return f"{text[:8]}-{text[8:12]}-5{text[13:16]}-{_VARIANT[text[16]]}{text[17:20]}-{text[20:32]}"
