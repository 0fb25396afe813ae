"""The per-user folder for what is downloaded or made once, so that a second clone starts fast."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """`$XDG_CACHE_HOME/connected-inbox`, or the same under `~/.cache`. It is made if it is missing."""
    root = os.environ.get("XDG_CACHE_HOME")
    folder = (Path(root) if root else Path.home() / ".cache") / "connected-inbox"
    folder.mkdir(parents=True, exist_ok=True)
    return folder
