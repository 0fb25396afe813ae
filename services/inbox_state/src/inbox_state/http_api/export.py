"""The unthreaded list as CSV (RFC 4180), streamed: however long it is, one page of it is in memory (I5)."""

import csv
import io
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from fastapi.responses import StreamingResponse

from inbox_state.http_api.models import CommunicationRow

ROWS_AT_ONCE: Final = 500

COLUMNS: Final = (
    "communication_id",
    "thread_id",
    "inbox_id",
    "inbox_name",
    "kind",
    "direction",
    "status",
    "activity_at",
    "line_number",
    "contact_number",
    "contact_name",
    "user_id",
    "unread",
    "body",
    "voicemail_transcript",
    "voicemail_url",
    "recording_url",
    "media_urls",
    "wait_seconds",
    "talk_seconds",
    "started_at",
    "answered_at",
    "ended_at",
    "outcome",
    "reason",
    "error_code",
)

# A tab or line break before them is skipped by spreadsheets, and full-width forms are taken for the plain ones.
_RUNS_AS_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")

Rows = Sequence[CommunicationRow]


def wants_csv(accept: str) -> bool:
    """Whether an Accept header prefers CSV to JSON, as far as the order in which it names them tells."""
    for part in accept.split(","):
        media_type, *parameters = (piece.strip().lower() for piece in part.split(";"))
        if "q=0" in parameters:
            continue
        if media_type in ("application/json", "text/csv", "*/*"):
            return media_type == "text/csv"
    return False


async def exported(name: str, next_rows: Callable[[], Awaitable[Rows]]) -> StreamingResponse:
    """An answer that asks for rows until there are none. What fails before the first ones is an ordinary error."""
    first = await next_rows()

    async def lines() -> AsyncIterator[str]:
        yield _lines([COLUMNS])
        rows = first
        while rows:
            yield _lines(_cells(row) for row in rows)
            rows = await next_rows()

    return StreamingResponse(
        lines(),
        media_type="text/csv; charset=utf-8; header=present",
        headers={
            "Content-Disposition": f'attachment; filename="{name}.csv"',
            "Cache-Control": "no-store",
            "Vary": "Accept",
        },
    )


def safe_cell(value: object) -> str:
    """A value as a spreadsheet takes it for text: what would start a formula gets an apostrophe in front."""
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case datetime():
            return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
        case int() | float():
            return str(value)
        case _:
            text = str(value).replace("\0", "\ufffd")
            return f"'{text}" if text.startswith(_RUNS_AS_FORMULA) else text


def _cells(row: CommunicationRow) -> list[str]:
    voicemail = row.voicemail
    given: dict[str, Any] = {
        "voicemail_transcript": voicemail.transcript if voicemail else None,
        "voicemail_url": voicemail.recording_url if voicemail else None,
        "media_urls": " ".join(one.url for one in row.media),
    }
    return [safe_cell(given[column] if column in given else getattr(row, column)) for column in COLUMNS]


def _lines(rows: Any) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows(rows)
    return text.getvalue()
