"""How communications group into threads."""

from __future__ import annotations

from functools import lru_cache
from typing import Final
from uuid import UUID, uuid5

from contracts.numbers import ANONYMOUS

_THREADS: Final = UUID("2c8e0d3b-90b1-5d57-8a52-5b3c2f3b9b64")


@lru_cache(maxsize=10_000)
def thread_id(account_id: str, inbox_id: str, contact_number: str, communication_id: str) -> str:
    """The thread of a communication: one per inbox and contact, one per call where the number is withheld."""
    contact = f"{ANONYMOUS}/{communication_id}" if contact_number == ANONYMOUS else contact_number
    return str(uuid5(_THREADS, f"{account_id}/{inbox_id}/{contact}"))
