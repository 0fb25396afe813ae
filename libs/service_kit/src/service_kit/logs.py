"""Log lines as facts: one JSON object each, with the service's name and the time."""

from __future__ import annotations

import logging
import sys
import traceback
from collections import Counter
from pathlib import Path
from typing import Final

import structlog

_NOISY: Final = ("aiokafka", "faststream", "opentelemetry", "yoyo")


def configure(service: str, level: str = "info", style: str = "json") -> None:
    """Send structlog's and the libraries' lines to standard output in one shape.

    `style` is `json` or `console`. Libraries speak from warnings up, and the same warning of a Kafka client
    at most ten times a minute: in an outage it writes a hundred a second.
    """
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
        _with_service(service),
    ]
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer(sort_keys=True)
        if style == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stdout.isatty())
    )
    structlog.configure(
        processors=[*shared, _traceback_without_values, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level.upper())),
        logger_factory=structlog.PrintLoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                _traceback_without_values,
                renderer,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in _NOISY:
        logger = logging.getLogger(name)
        logger.setLevel(logging.WARNING)
        logger.filters[:] = [_AtMost(10, per_seconds=60.0)]
        for child in logging.Logger.manager.loggerDict:
            if child.startswith(f"{name}."):
                logging.getLogger(child).filters[:] = logger.filters


class _AtMost(logging.Filter):
    """Lets the same line (by its place in the source) through a few times in each span of time."""

    def __init__(self, times: int, per_seconds: float) -> None:
        super().__init__()
        self._times = times
        self._span = per_seconds
        self._began = 0.0
        self._seen: Counter[tuple[str, int]] = Counter()

    def filter(self, record: logging.LogRecord) -> bool:
        if record.created - self._began > self._span:
            self._began = record.created
            self._seen.clear()
        place = (record.pathname, record.lineno)
        self._seen[place] += 1
        return self._seen[place] <= self._times


def _traceback_without_values(
    _logger: structlog.typing.WrappedLogger,
    _method: str,
    event: structlog.typing.EventDict,
) -> structlog.typing.EventDict:
    """Show where an exception came from, but not its message: it may hold a number or a message's text."""
    raised = event.pop("exc_info", None)
    error = sys.exc_info()[1] if raised is True else raised[1] if isinstance(raised, tuple) else raised
    if isinstance(error, BaseException):
        frames = traceback.extract_tb(error.__traceback__)
        event["raised"] = type(error).__name__
        event["at_frames"] = [f"{Path(f.filename).name}:{f.lineno} {f.name}" for f in frames[-12:]]
    return event


def _with_service(service: str) -> structlog.typing.Processor:
    def add(
        _logger: structlog.typing.WrappedLogger,
        _method: str,
        event: structlog.typing.EventDict,
    ) -> structlog.typing.EventDict:
        event["service"] = service
        return event

    return add
