"""What reporting measures of itself."""

from __future__ import annotations

from typing import Final

from service_kit.metrics import counter, gauge

SERVICE: Final = "reporting"

INPUT_AGE: Final = gauge(
    "report_input_age_seconds",
    "How far behind the clock the input is read: a day's reports wait until this reaches past its end.",
)
REPORT_EMAILS: Final = counter(
    "report_emails_total",
    "Report e-mails asked for, by report and by what called for them.",
    ("service", "report", "origin"),
)
OWN_ANALYSES: Final = counter(
    "report_own_analyses_total",
    "Transcripts that our own analyser has read, by what came of it.",
    ("service", "outcome"),
)
