"""W3C Trace Context, version 00: the one field that names a trace, its parent span and whether it is recorded.

Source: W3C Trace Context, "Traceparent Header"; CloudEvents' distributed tracing extension carries it.
"""

from __future__ import annotations

import re
from typing import Final

_TRACEPARENT: Final = re.compile(r"(?!ff)[0-9a-f]{2}(-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2})(-.*)?")


def traceparent_in(text: str) -> str | None:
    """The trace context that a caller sent, in version 00; None for what is none: it is ignored, never an error.

    A version that we do not know is read as version 00, as the specification asks.
    """
    match = _TRACEPARENT.fullmatch(text)
    if match is None or (text.startswith("00") and match[2] is not None):
        return None
    return f"00{match[1]}"


def trace_id_of(traceparent: str) -> str:
    """The trace's id: 32 hexadecimal digits."""
    return traceparent[3:35]


def is_sampled(traceparent: str) -> bool:
    """Whether the caller records this trace."""
    return int(traceparent[-2:], 16) & 1 == 1
