"""The console's metrics."""

from __future__ import annotations

from typing import Final

from service_kit.metrics import counter, gauge

SERVICE: Final = "console"

OPEN_STREAMS: Final = gauge("console_open_streams", "Live streams that are being handed on to browsers.")
UNANSWERED: Final = counter("console_unanswered_total", "Calls that a service did not answer.", ("service", "upstream"))
