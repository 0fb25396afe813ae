"""`python -m contracts.generate [FOLDER]` writes the contract's documents (default folder: docs/contracts).

A test compares what is committed with what this would write, so a change of a model can't go unnoticed.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

import orjson
import yaml

from contracts.documents import asyncapi, schemas

DEFAULT_FOLDER: Final = Path("docs/contracts")


def files() -> dict[str, str]:
    """Every generated file's text by its path within the folder: the same text for the same models."""
    texts = {
        f"schemas/{name}.json": orjson.dumps(schema, option=orjson.OPT_INDENT_2).decode() + "\n"
        for name, schema in schemas().items()
    }
    texts["asyncapi.yaml"] = yaml.safe_dump(asyncapi(), sort_keys=False, allow_unicode=True, width=110)
    return texts


def write(folder: Path) -> None:
    """Write all files, and remove schemas of event types that are no more."""
    texts = files()
    for stale in folder.glob("schemas/*.json"):
        if f"schemas/{stale.name}" not in texts:
            stale.unlink()
    for name, text in texts.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT_FOLDER)
