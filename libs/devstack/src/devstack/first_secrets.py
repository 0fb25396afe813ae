"""`python -m devstack.first_secrets FOLDER`: draws the secrets that an installation needs and does not have yet.

docker-compose runs it before everything else, over one volume for each who needs secrets, so that no password stands
in a file of the repository, in an environment or on a command line, and each service can read its own alone. What is
there stays as it is: replace a file, and start what reads it again.
"""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final
from urllib.parse import quote

from contracts.topics import SERVICES

DATABASE: Final = "connected_inbox"

Draw = Callable[[], str]


def folder_of(service: str) -> str:
    """The folder, and the volume, of a service: named as its container is."""
    return service.replace("_", "-")


def draw(folder: Path, *, host: str = "postgres", fresh: Draw = lambda: secrets.token_urlsafe(32)) -> list[str]:
    """Write what is missing under `folder` and name it, never what it holds.

    Raises `OSError` where a folder is not there or not to be written.
    """
    made: list[str] = []

    def settle(name: str, text: Draw) -> str:
        file = folder / name
        if not file.exists():
            unfinished = file.with_name(f".{file.name}.new")
            unfinished.write_text(text() + "\n", encoding="utf-8")
            # Whoever reads it runs as another user; only its volume says who may.
            unfinished.chmod(0o444)
            unfinished.replace(file)
            made.append(name)
        return file.read_text(encoding="utf-8").strip()

    settle("postgres/postgres_password", fresh)
    settle("grafana/admin_password", fresh)
    settle("notification/unsubscribe_secrets", fresh)
    jwt_secret = settle("inboxctl/jwt_secret", fresh)
    settle("console/jwt_secret", lambda: jwt_secret)
    for service in SERVICES:
        password = settle(f"postgres/{service}_database_password", fresh)
        dsn = f"postgresql://{service}:{quote(password, safe='')}@{host}:5432/{DATABASE}"
        settle(f"{folder_of(service)}/database_url", partial(str, dsn))
        settle(f"{folder_of(service)}/jwt_secret", lambda: jwt_secret)
        settle(f"inboxctl/{service}_database_url", partial(str, dsn))
    return made


def main() -> None:
    """Draw, and say what was made."""
    os.umask(0o022)
    made = draw(Path(sys.argv[1]))
    for name in made:
        print(f"drawn: {name}")
    if not made:
        print("all secrets are there")


if __name__ == "__main__":
    main()
