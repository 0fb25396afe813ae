"""The types of the fields that several events share, with their bounds."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Literal

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
)

CLIENT_ID_PATTERN: Final = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}"
RESERVED_IDS: Final = frozenset({"all", "me"})
_CLIENT_ID: Final = re.compile(CLIENT_ID_PATTERN)


def _printable(text: str) -> str:
    # U+FFFD stands where U+0000 was; str.isprintable refuses neither it nor the space.
    if not text.isprintable():
        raise ValueError("holds characters that can't be printed")
    return text


def _client_id(text: str) -> str:
    if not _CLIENT_ID.fullmatch(text):
        raise ValueError("must match [A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
    if text in RESERVED_IDS:
        raise ValueError("is a reserved word")
    return text


ClientId = Annotated[str, AfterValidator(_client_id)]
"""An id that a client of the HTTP API chooses."""

CommunicationId = Annotated[str, StringConstraints(min_length=1, max_length=255), AfterValidator(_printable)]
"""A call's or message's id, chosen by the telephony side: 1 to 255 printable characters."""

Reference = Annotated[str, StringConstraints(min_length=1, max_length=255)]
"""A name that another system gave to something, such as a user id, an endpoint or a queue."""

RawNumber = Annotated[str, StringConstraints(max_length=255)]
"""A number as it came, before it is normalised."""

Name = Annotated[str, StringConstraints(max_length=1_000)]
Url = Annotated[str, StringConstraints(min_length=1, max_length=4_000)]
Text = Annotated[str, StringConstraints(max_length=200_000)]
Seconds = Annotated[float, Field(ge=0, le=31_536_000, allow_inf_nan=False)]
Instant = AwareDatetime
Direction = Literal["inbound", "outbound"]
Kind = Literal["call", "message"]


class Data(BaseModel):
    """The data of an event: what a reader does not know it ignores (contract §2)."""

    # Pydantic's cache of strings is for such as come again: looking into it for ids, times and numbers costs a tenth of
    # reading an event.
    model_config = ConfigDict(extra="ignore", frozen=True, cache_strings="keys")


def key_of(*parts: Any) -> bytes:
    """A record's key: its parts joined by `/`."""
    return "/".join(str(part) for part in parts).encode()


class Media(Data):
    """A picture or file that came with a message."""

    url: Url
    content_type: Annotated[str, StringConstraints(max_length=255)] = "application/octet-stream"
