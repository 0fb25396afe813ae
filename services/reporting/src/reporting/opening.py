"""When an inbox was open, as spans of UTC: what the time to a first response is counted in (P5).

The rule is routing's (R6): hours are read on a clock on the wall, so that a repeated hour is open twice and a skipped
one never, and a closed date is closed as a whole, what began the evening before included.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from itertools import accumulate
from typing import Final
from zoneinfo import ZoneInfo

from contracts.business_hours import BusinessHours
from reporting.days import Span

_DAY: Final = timedelta(days=1)
_SECOND: Final = timedelta(seconds=1)
_STEP: Final = timedelta(hours=6)


@dataclass(frozen=True, slots=True)
class Opening:
    """Spans in which an inbox was open, in order and apart; `before` are the open seconds before each begins."""

    starts: tuple[datetime, ...]
    seconds: tuple[float, ...]
    before: tuple[float, ...]


def opening(hours: BusinessHours, zone: ZoneInfo, within: Span) -> Opening:
    """The open spans within a span of UTC, by hours on a clock in `zone`."""
    spans = open_spans(hours, zone, within)
    lengths = tuple((span.end - span.start).total_seconds() for span in spans)
    before = (0.0, *accumulate(lengths))[: len(lengths)]
    return Opening(tuple(span.start for span in spans), lengths, before)


def open_spans(hours: BusinessHours, zone: ZoneInfo, within: Span) -> list[Span]:
    """The open spans within a span of UTC, in order; those that touch are one."""
    found: list[Span] = []
    walls = list(_on_the_wall(hours, zone, within))
    for piece, offset in _pieces(zone, within):
        for opens, closes in walls:
            start = max((opens - offset).replace(tzinfo=UTC), piece.start)
            end = min((closes - offset).replace(tzinfo=UTC), piece.end)
            if start < end:
                found.append(Span(start, end))
    found.sort(key=lambda span: span.start)
    joined: list[Span] = []
    for span in found:
        if joined and span.start <= joined[-1].end:
            joined[-1] = Span(joined[-1].start, max(joined[-1].end, span.end))
        else:
            joined.append(span)
    return joined


def _on_the_wall(hours: BusinessHours, zone: ZoneInfo, within: Span) -> Iterator[tuple[datetime, datetime]]:
    """The spans as the clock on the wall shows them (naive), each within one date."""
    closed = set(hours.closures)
    day = within.start.astimezone(zone).date() - 2 * _DAY
    last = within.end.astimezone(zone).date() + 2 * _DAY
    while day <= last:
        midnight, next_midnight = datetime.combine(day, time.min), datetime.combine(day + _DAY, time.min)
        for span in hours.spans_of(day):
            opens = datetime.combine(day, span.opens)
            if span.opens < span.closes:
                yield opens, datetime.combine(day, span.closes)
                continue
            yield opens, next_midnight
            if day + _DAY not in closed and span.closes > midnight.time():
                yield next_midnight, datetime.combine(day + _DAY, span.closes)
        day += _DAY


def _pieces(zone: ZoneInfo, within: Span) -> Sequence[tuple[Span, timedelta]]:
    """The span cut wherever the zone's offset changes, each piece with its offset."""
    pieces: list[tuple[Span, timedelta]] = []
    start = at = within.start
    while at < within.end:
        following = min(at + _STEP, within.end)
        if _offset(zone, following) != _offset(zone, at):
            change = _change(zone, at, following)
            pieces.append((Span(start, change), _offset(zone, start)))
            start = change
        at = following
    if start < within.end:
        pieces.append((Span(start, within.end), _offset(zone, start)))
    return pieces


def _change(zone: ZoneInfo, before: datetime, after: datetime) -> datetime:
    """The first instant with the offset of `after`, to the second."""
    old = _offset(zone, before)
    before, after = before.replace(microsecond=0), after
    while after - before > _SECOND:
        middle = before + timedelta(seconds=(after - before) // _SECOND // 2)
        before, after = (middle, after) if _offset(zone, middle) == old else (before, middle)
    return after.replace(microsecond=0)


def _offset(zone: ZoneInfo, at: datetime) -> timedelta:
    return at.astimezone(zone).utcoffset() or timedelta(0)
