"""Where in the web console a reader finds what an e-mail tells of."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

from contracts.communications import CommunicationChanged
from contracts.threads import thread_id


@dataclass(frozen=True, slots=True)
class ConsoleLinks:
    """Links into the console at `base_url`; None everywhere where there is no console."""

    base_url: str | None = None

    def inbox(self, inbox_id: str) -> str | None:
        """An inbox's list of threads."""
        return f"{self.base_url.rstrip('/')}/inboxes/{quote(inbox_id, safe='')}" if self.base_url else None

    def thread(self, account_id: str, snapshot: CommunicationChanged) -> str | None:
        """A communication's thread."""
        inbox = self.inbox(snapshot.inbox_id)
        return f"{inbox}/threads/{thread_of(account_id, snapshot)}" if inbox else None


def thread_of(account_id: str, snapshot: CommunicationChanged) -> str:
    """The id of a communication's thread."""
    return thread_id(account_id, snapshot.inbox_id, snapshot.contact_number, snapshot.communication_id)
