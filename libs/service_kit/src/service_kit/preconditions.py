"""Conditional requests (RFC 9110 §13): nobody overwrites what he has not seen.

A resource's entity tag follows from its version, so it is the same on every replica.
"""

# FastAPI reads the annotations of the dependency below at run time.

import re
from typing import Annotated, Final

from fastapi import Header, Response

from service_kit.http import NotModified, Problem

_TAG: Final = re.compile(r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"')
_LIST: Final = re.compile(rf"[ \t,]*(?:{_TAG.pattern}[ \t]*(?:,[ \t,]*|$))+")

ANY: Final = "*"


def entity_tag(version: int, variant: str = "") -> str:
    """The strong entity tag of a version; `variant` names a representation that shows something else of it."""
    return f'"{version}{variant}"'


class Preconditions:
    """What a request says of the state that it was made for, as a FastAPI dependency.

    400 for a header that is no list of entity tags.
    """

    def __init__(
        self,
        if_match: Annotated[str | None, Header(description="Only if the tag is still one of these; `*`: any.")] = None,
        if_none_match: Annotated[
            str | None, Header(description="Only if it has none of these tags; `*`: only if it is not there.")
        ] = None,
    ) -> None:
        self._match = _tags("If-Match", if_match)
        self._none_match = _tags("If-None-Match", if_none_match)

    def require(self, current: str | None) -> None:
        """412 unless the resource is in the state that a change was made for; `current` is None where there is none.

        A weak tag never matches (RFC 9110 §13.1.1).
        """
        if self._match is not None and (current is None or (self._match != (ANY,) and current not in self._match)):
            raise _failed("If-Match", current)
        if self._none_match is not None and current is not None and self._has_seen(current):
            raise _failed("If-None-Match", current)

    def show(self, response: Response, current: str) -> None:
        """Put the tag on the answer to a GET; 304 when the client has this state already."""
        if self._match is not None and self._match != (ANY,) and current not in self._match:
            raise _failed("If-Match", current)
        if self._none_match is not None and self._has_seen(current):
            raise NotModified(current)
        response.headers["ETag"] = current

    def _has_seen(self, current: str) -> bool:
        seen = self._none_match or ()
        return seen == (ANY,) or current in {tag.removeprefix("W/") for tag in seen}


def _tags(header: str, text: str | None) -> tuple[str, ...] | None:
    if text is None:
        return None
    if text.strip() == ANY:
        return (ANY,)
    if not _LIST.fullmatch(text):
        raise Problem(400, "Bad Request", f'{header}: must be `*` or entity tags such as "7"')
    return tuple(_TAG.findall(text))


def _failed(header: str, current: str | None) -> Problem:
    now = "is not there" if current is None else f"has the tag {current} now"
    return Problem(
        412,
        "Precondition Failed",
        f"{header}: it {now}; read it again",
        headers=None if current is None else {"ETag": current},
    )
