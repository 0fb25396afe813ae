"""Pages out of Jinja2 templates, the English text that they speak, and the addresses of static files."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import orjson
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from starlette.responses import HTMLResponse

FOLDER: Final = Path(__file__).parent
STATIC: Final = FOLDER / "static"
TEXT: Final = STATIC / "text"
LANGUAGE: Final = "en"
_INDEX: Final = re.compile(r"\.\d+")


def content_hash(folder: Path) -> str:
    """A name for all that a folder holds: it changes when a byte of it does, so that caches may keep it for ever.

    One name for the whole folder, since modules import each other by relative paths.
    """
    digest = hashlib.sha256()
    for file in sorted(folder.rglob("*")):
        if file.is_file():
            digest.update(file.relative_to(folder).as_posix().encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


class Text:
    """What the console says, by key: `text("inbox.title")`, `text("list.unread", count=3)`.

    Each file of `static/text/<language>/` is one top-level key. An entry is a sentence with `{names}`, or one for
    each plural form (`one`, `other`), chosen by `count`.
    """

    def __init__(self, language: str = LANGUAGE) -> None:
        self.language = language
        self._entries: dict[str, Any] = {
            file.stem: orjson.loads(file.read_bytes()) for file in sorted((TEXT / language).glob("*.json"))
        }

    def __call__(self, key: str, **values: Any) -> str:
        """The sentence of a key. Raises `KeyError` for an unknown one: a page must never show its key."""
        entry = self.entry(key)
        if isinstance(entry, Mapping):
            entry = entry["one" if values.get("count") == 1 else "other"]
        return str(entry).format_map(values) if values else str(entry)

    def entry(self, key: str) -> Any:
        """What stands under a key. Raises `KeyError` for an unknown one."""
        entry: Any = self._entries
        for part in key.split("."):
            entry = entry[part]
        return entry


def anchor(field: str) -> str:
    """Where a form shows a field: `agents.users.0` is one of the boxes of `agents.users`."""
    return re.sub(r"\.\d+$", "", field)


class Renderer:
    """Templates with `t` (text), `static` (addresses) and everything escaped."""

    def __init__(self) -> None:
        self.hash = content_hash(STATIC)
        self.text = Text()
        self._templates = Environment(
            loader=PackageLoader("console", "templates"),
            autoescape=select_autoescape(default=True),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.globals |= {"t": self.text, "static": self.static, "language": LANGUAGE}
        self._templates.globals |= {"label": self.label, "anchor": anchor}

    def static(self, name: str) -> str:
        """The address of a static file."""
        return f"/static/{self.hash}/{name}"

    def label(self, field: str) -> str:
        """What a form calls a field of the API; its own name for one that stands in no form."""
        try:
            return self.text(f"admin.label.{_INDEX.sub('', field).replace('.', '_')}")
        except KeyError:
            return field

    def page(self, template: str, *, status: int = 200, **values: Any) -> HTMLResponse:
        """A page. Nothing of an account may stay in a cache after signing out, so browsers keep none."""
        content = self._templates.get_template(template).render({"me": None, "notice": None, **values})
        return HTMLResponse(content, status_code=status, headers={"Cache-Control": "no-store"})
