"""How many e-mails may be handed to a mail server now, when it takes only so many a second (N4)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Bucket:
    """What is left to send, and when that was counted. Shared by all replicas."""

    left: float
    counted_at: datetime


def refilled(bucket: Bucket | None, per_second: float, now: datetime) -> Bucket:
    """The bucket as it is now: it fills at the rate, up to what one second brings (at least one e-mail).

    A replica whose clock is behind neither fills nor empties it.
    """
    most = max(per_second, 1.0)
    if bucket is None:
        return Bucket(most, now)
    passed = max((now - bucket.counted_at).total_seconds(), 0.0)
    return Bucket(min(bucket.left + passed * per_second, most), max(now, bucket.counted_at))


def taken(bucket: Bucket, count: int) -> Bucket:
    """The bucket after so many e-mails were claimed from it."""
    return Bucket(bucket.left - count, bucket.counted_at)
