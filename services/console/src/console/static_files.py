"""Scripts, styles and pictures, served under a name for their content so that browsers keep them for ever."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Final

from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Receive, Scope, Send

from console.rendering import STATIC

_FOR_EVER: Final = "public, max-age=31536000, immutable"


class HashedFiles:
    """`/static/<hash>/<file>`. A page that was open over an update asks for files that are gone: 404."""

    def __init__(self, content: str) -> None:
        self._content = content
        self._files = StaticFiles(directory=STATIC)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one file."""
        content, _, name = scope["path_params"]["path"].partition("/")
        if content != self._content or not name or ".." in PurePosixPath(name).parts:
            await Response(status_code=404)(scope, receive, send)
            return
        answer = await self._files.get_response(name, scope)
        answer.headers["Cache-Control"] = _FOR_EVER
        await answer(scope, receive, send)
