"""Print the part of requirements.lock that some of our packages need: an image holds that and nothing else.

    python deploy/requirements_of.py requirements.lock connected-inbox-routing [--without jgo …]

The lock says under each package which others brought it ("via"). Followed from our own packages downwards, that is
the whole of what they need, with the very versions and hashes that were tested. It runs in an image's build, before
anything is installed: standard library only.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True, slots=True)
class Locked:
    """One package of the lock: its requirement with all its hashes, and who needs it."""

    name: str
    text: str
    via: frozenset[str]


def read(lock: str) -> list[Locked]:
    """The packages of a lock as `uv pip compile` writes it."""
    packages: list[Locked] = []
    text: list[str] = []
    via: set[str] = set()

    def close() -> None:
        if text:
            name = _NAME.match(text[0])
            assert name is not None
            packages.append(Locked(name[0].lower(), "\n".join(text), frozenset(via)))

    for line in lock.splitlines():
        if line[:1] not in ("", " ", "#"):
            close()
            text, via = [line], set()
        elif line.strip().startswith("#"):
            # "# via fastapi" on one line, or "# via" with a name on each line below.
            via |= {word for word in line.split() if word not in ("#", "via")}
        elif line.strip():
            text.append(line)
    close()
    return packages


def needed(packages: Collection[Locked], wanted: Collection[str], without: Collection[str] = ()) -> list[Locked]:
    """What the wanted packages need, directly or not; a wanted one that the lock itself holds is part of it."""
    reached = set(wanted)
    taken: set[str] = set()
    while True:
        more = {
            one.name
            for one in packages
            if one.name not in taken and one.name not in without and (one.via & reached or one.name in wanted)
        }
        if not more:
            return [one for one in packages if one.name in taken]
        taken |= more
        reached |= more


def main() -> None:
    """Print the requirements, ready for `pip install --require-hashes -r`."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("lock", type=Path)
    parser.add_argument("package", nargs="+")
    parser.add_argument("--without", nargs="*", default=())
    given = parser.parse_args()
    found = needed(read(given.lock.read_text(encoding="utf-8")), given.package, given.without)
    if not found:
        raise SystemExit(f"the lock holds nothing that {', '.join(given.package)} needs")
    sys.stdout.write("".join(f"{one.text}\n" for one in found))


if __name__ == "__main__":
    main()
