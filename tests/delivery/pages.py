"""The documents that people work by, and the commands that stand in them."""

from __future__ import annotations

import re
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
PAGES = (
    "README.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "CHANGELOG.md",
    "docs/operating.md",
    "docs/integrating.md",
    "deploy/kubernetes/README.md",
    "deploy/kubernetes/components/engines/README.md",
)


def text_of(page: str) -> str:
    return (REPOSITORY / page).read_text(encoding="utf-8")


def blocks(page: str, language: str) -> list[str]:
    """The fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text_of(page), re.MULTILINE | re.DOTALL)


def commands(start: str) -> list[tuple[str, str]]:
    """(page, command) of every command that begins so, in a block or in a line of text."""
    found = []
    for page in PAGES:
        in_text = re.findall(r"`([^`\n]+(?:\n[^`\n]+)?)`", text_of(page))
        for code in [*in_text, *"\n".join(blocks(page, "sh")).splitlines()]:
            command = " ".join(code.split()).removeprefix(".venv/bin/").partition(" #")[0]
            if command.startswith(f"{start} "):
                found.append((page, command))
            elif f"run --rm {start} " in command:
                found.append((page, command.partition("run --rm ")[2]))
    return found
