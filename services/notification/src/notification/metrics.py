"""What this service measures besides what the kit measures (contract §4)."""

from __future__ import annotations

from typing import Final

from service_kit import metrics

SERVICE: Final = "notification"

EVENT_TO_EMAIL: Final = metrics.histogram(
    "event_to_email_seconds",
    "Seconds from the broker's append of the telephony record (or from the end of the wait for a voicemail) "
    "to the mail server's acceptance of the e-mail that it caused; digests apart.",
).labels(service=SERVICE)
EMAIL_OLDEST_AGE: Final = metrics.gauge(
    "email_oldest_age_seconds",
    "Seconds for which the oldest e-mail that is due has not been sent; 0 when none is due.",
).labels(service=SERVICE)
EMAIL_ATTEMPTS: Final = metrics.counter(
    "email_attempts_total", "Attempts to send an e-mail, by what came of them.", ("service", "outcome")
)
