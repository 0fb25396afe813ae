"""What keeps coming in the demo is traffic as telephony systems send it."""

from __future__ import annotations

from collections import Counter
from itertools import count
from random import Random

from contracts.telephony import CallStarted, MessageReceived
from devstack.traffic import Callers, scene

LINES = ["+12125550190", "+12125550191"]


def test_scenes_are_of_all_kinds_on_all_lines_and_callers_come_back() -> None:
    random, ids = Random(1), count()
    callers = Callers(random)
    scenes = [scene(random, callers, LINES, lambda: str(next(ids))) for _ in range(200)]
    kinds = Counter(tuple(one.type.split(".")[-2] for one in happenings) for happenings in scenes)
    assert set(kinds) == {("received",), ("started",), ("started", "recorded", "ended"), ("started", "ended")}
    firsts = [happenings[0].data for happenings in scenes]
    began = [one for one in firsts if isinstance(one, CallStarted | MessageReceived)]
    assert len(began) == 200
    assert {one.line_number for one in began} == set(LINES)
    assert max(Counter(one.contact_number for one in began).values()) > 1


def test_what_nobody_is_to_answer_stays_in_a_menu_so_that_nobody_is_rung() -> None:
    random, ids = Random(2), count()
    callers = Callers(random)
    for _ in range(200):
        first, *rest = scene(random, callers, LINES, lambda: str(next(ids)))
        if isinstance(first.data, CallStarted):
            assert first.data.menu == bool(rest)
