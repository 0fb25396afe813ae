"""`python -m service_kit.probe [live|ready]`: exits 0 when the service in this container says that it is.

For a container's health check: the images hold no other program that speaks HTTP, and this one needs nothing but
the standard library. `PORT` is the service's own setting.
"""

from __future__ import annotations

import os
import sys
import urllib.error
import urllib.request


def answers(port: str, what: str = "ready", seconds: float = 4) -> bool:
    """Whether `/health/<what>` on this machine answers 200 in time."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health/{what}", timeout=seconds) as answer:
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError, ValueError):
        return False


def main() -> None:
    """Ask, and tell by the exit code."""
    what = sys.argv[1] if len(sys.argv) > 1 else "ready"
    sys.exit(0 if answers(os.environ.get("PORT", ""), what) else 1)


if __name__ == "__main__":
    main()
