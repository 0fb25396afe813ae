"""What came of a demo, on the terminal: the inbox as an agent sees it, ring plan, e-mails and report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from mailbox import MaildirMessage
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from contracts.commands import Ring
from contracts.numbers import ANONYMOUS
from devstack.mail import messages

DASH: Final = "–"
WRAPPED: Final = frozenset({"what", "rings", "endpoints", "from", "to", "subject"})
"""The columns that give way on a narrow terminal."""


@dataclass(frozen=True, slots=True)
class Letter:
    """An e-mail that somebody got, with its plain text."""

    sender: str
    recipient: str
    subject: str
    sent_at: datetime | None
    text: str

    def tells_of(self, number: str) -> bool:
        """Whether it names this contact, however its number is written out."""
        digits = "".join(filter(str.isdigit, self.subject + self.text))
        return number[-10:] in digits


def letters(folder: Path) -> list[Letter]:
    """Every e-mail in the Maildir, oldest first."""
    return [letter(_parsed(message)) for message in messages(folder)]


def _parsed(stored: MaildirMessage) -> EmailMessage:
    message: EmailMessage = BytesParser(EmailMessage, policy=policy.default).parsebytes(stored.as_bytes())
    return message


def letter(message: EmailMessage) -> Letter:
    """What a mailbox shows of an e-mail."""
    plain = message.get_body(("plain",))
    date = message["date"]
    return Letter(
        sender=str(message["from"] or ""),
        recipient=str(message["to"] or ""),
        subject=str(message["subject"] or ""),
        sent_at=date.datetime if date is not None else None,
        text=str(plain.get_content()) if plain is not None else "",
    )


def panel(rows: Sequence[Mapping[str, Any]], title: str) -> Table:
    """The inbox panel (I1)."""
    table = _table(title, "inbox", "access", "unread", "active calls")
    for row in rows:
        table.add_row(row["name"], row["access"], str(row["unread"] or ""), str(row["active_calls"] or ""))
    return table


def threads(rows: Sequence[Mapping[str, Any]], title: str, zone: ZoneInfo) -> Table:
    """Threads in the order in which the agent sees them, a call in progress on top (I4)."""
    table = _table(title, "", "contact", "unread", "latest", "what", "when")
    for row in rows:
        latest = row["latest"]
        table.add_row(
            "☎" if row["active_call"] else "",
            _contact(row),
            str(row["unread"] or ""),
            f"{latest['direction']} {latest['kind']}: {latest['status'].replace('_', ' ')}",
            _said(latest),
            _local(row["last_activity_at"], zone),
            style="bold" if row["unread"] else "",
        )
    return table


def ring_plan(ring: Ring, names: Mapping[str, str]) -> Table:
    """Who was rung for a call, as it went out on telephony-commands (R4)."""
    table = _table(f"Ring plan of call {ring.call_id}", "layer", "mode", "rings", "endpoints", "for")
    for number, layer in enumerate(ring.layers, 1):
        table.add_row(
            str(number),
            layer.mode,
            ", ".join(names.get(user_id, user_id) for user_id in layer.user_ids),
            ", ".join(endpoint for user_id in layer.user_ids for endpoint in layer.endpoints.get(user_id, ())),
            f"{layer.ring_seconds} s",
        )
    table.add_row("", "otherwise", ring.otherwise, "", "")
    return table


def emails(found: Sequence[Letter], title: str, zone: ZoneInfo) -> Table:
    """E-mails with what a mailbox shows of them."""
    table = _table(title, "from", "to", "subject", "time")
    for one in found:
        when = one.sent_at.astimezone(zone).strftime("%H:%M:%S") if one.sent_at else DASH
        table.add_row(one.sender, one.recipient, one.subject, when)
    return table


def report(document: Mapping[str, Any], title: str) -> Table:
    """The totals of a daily activity report (P5)."""
    table = _table(title, "figure", "value")
    for figure, value in document["totals"].items():
        table.add_row(figure.replace("_", " "), _figure(figure, value))
    return table


def show(console: Console, *tables: Table) -> None:
    """Print tables with air between them."""
    for table in tables:
        console.print()
        console.print(table)


def _table(title: str, *columns: str) -> Table:
    table = Table(title=Text(title, style="bold"), title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold", no_wrap=column not in WRAPPED)
    return table


def _contact(row: Mapping[str, Any]) -> str:
    number = "withheld number" if row["contact_number"] == ANONYMOUS else row["contact_number"]
    return f"{row['contact_name']}  {number}" if row.get("contact_name") else number


def _said(communication: Mapping[str, Any]) -> str:
    voicemail = communication.get("voicemail") or {}
    text = communication.get("body") or voicemail.get("transcript") or ""
    return text if len(text) <= 46 else text[:45] + "…"


def _local(instant: str, zone: ZoneInfo) -> str:
    return datetime.fromisoformat(instant).astimezone(zone).strftime("%a %H:%M")


def _figure(name: str, value: Any) -> str:
    if value is None:
        return DASH
    if name in ("answer_rate", "service_level"):
        return f"{value:.0%}"
    if name.endswith("_seconds"):
        return f"{value:,.0f} s"
    return f"{value:,}" if isinstance(value, int) else str(value)
