"""A fresh database per test, copied from a template that was migrated once."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from contracts.topics import SERVICES
from devstack.postgres import create_database, create_service_roles, drop_database, dsn, new_passwords
from service_kit.database import migrate


@dataclass(frozen=True, slots=True)
class Template:
    """A database with every schema, and what opens copies of it."""

    server: str
    name: str
    passwords: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class FreshDatabase:
    """One test's database: `dsns` by service, each as that service's own role, and `admin_dsn` as superuser."""

    name: str
    admin_dsn: str
    dsns: Mapping[str, str]

    def dsn(self, service: str) -> str:
        """What the service's DATABASE_URL would be."""
        return self.dsns[service]


@contextmanager
def template_database(server: str) -> Iterator[Template]:
    """All four schemas and roles, migrated."""
    template = Template(server, f"test_template_{secrets.token_hex(4)}", new_passwords())
    try:
        for service, url in create_service_roles(server, template.name, template.passwords).items():
            migrate(url, service)
        yield template
    finally:
        drop_database(server, template.name)


@contextmanager
def fresh_database(template: Template) -> Iterator[FreshDatabase]:
    """A copy of the template, dropped at the end with whoever is still connected."""
    name = f"test_{secrets.token_hex(6)}"
    create_database(template.server, name, template.name)
    try:
        yield FreshDatabase(
            name=name,
            admin_dsn=dsn(template.server, database=name),
            dsns={
                service: dsn(template.server, database=name, user=service, password=template.passwords[service])
                for service in SERVICES
            },
        )
    finally:
        drop_database(template.server, name)
