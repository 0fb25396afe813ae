"""Settings come from the environment, or from files that it names: secrets need not stand in any environment."""

from __future__ import annotations

from pathlib import Path

import pytest

from devstack.environment import Addresses
from inbox_state.settings import InboxStateSettings
from notification.settings import NotificationSettings
from routing.settings import RoutingSettings
from service_kit.settings import UnreadableSetting, given, load

DSN = "postgresql://routing:secret@db/inbox"
JWT_SECRET = "a secret that is long enough"


@pytest.fixture
def a_bare_environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Nothing that a developer has set counts here."""
    for name in ("JWT_SECRET", "ROUTING_DATABASE_URL", "INBOX_STATE_DATABASE_URL", "SMTP_URL", "JWT_JWKS_URL"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(f"{name}_FILE", raising=False)
    return monkeypatch


def secret_file(folder: Path, text: str, name: str = "secret") -> str:
    """A file as `echo` or an editor leaves it."""
    file = folder / name
    file.write_text(f"{text}\n", encoding="utf-8")
    return str(file)


def test_a_secret_can_stand_in_a_file(a_bare_environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    a_bare_environment.setenv("ROUTING_DATABASE_URL_FILE", secret_file(tmp_path, DSN, "dsn"))
    a_bare_environment.setenv("JWT_SECRET_FILE", secret_file(tmp_path, JWT_SECRET, "jwt"))
    settings = load(RoutingSettings)
    assert settings.database_url == DSN
    assert settings.jwt_secret is not None
    assert settings.jwt_secret.get_secret_value() == JWT_SECRET


def test_any_setting_can_and_is_checked_like_the_others(a_bare_environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    a_bare_environment.setenv("NOTIFICATION_DATABASE_URL", DSN)
    a_bare_environment.setenv("JWT_SECRET", JWT_SECRET)
    a_bare_environment.setenv("SMTP_URL_FILE", secret_file(tmp_path, "ftp://mail"))
    with pytest.raises(SystemExit, match="SMTP_URL"):
        load(NotificationSettings)
    a_bare_environment.setenv("SMTP_URL_FILE", secret_file(tmp_path, "smtp://mail:2525"))
    assert load(NotificationSettings).mail_server.port == 2525


def test_commands_read_files_too(a_bare_environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    a_bare_environment.setenv("JWT_SECRET_FILE", secret_file(tmp_path, JWT_SECRET))
    secret = Addresses().jwt_secret
    assert secret is not None
    assert secret.get_secret_value() == JWT_SECRET


def test_an_empty_variable_leaves_the_word_to_the_file(a_bare_environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    a_bare_environment.setenv("JWT_SECRET", JWT_SECRET)
    a_bare_environment.setenv("INBOX_STATE_DATABASE_URL", "")
    a_bare_environment.setenv("INBOX_STATE_DATABASE_URL_FILE", secret_file(tmp_path, DSN))
    assert load(InboxStateSettings).database_url == DSN


def test_who_gives_both_is_told_so_and_no_secret_is_shown(
    a_bare_environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    a_bare_environment.setenv("ROUTING_DATABASE_URL", DSN)
    a_bare_environment.setenv("JWT_SECRET", JWT_SECRET)
    a_bare_environment.setenv("JWT_SECRET_FILE", secret_file(tmp_path, "another secret that is long"))
    with pytest.raises(SystemExit, match="JWT_SECRET and JWT_SECRET_FILE are both set") as told:
        load(RoutingSettings)
    assert "secret that is long" not in str(told.value)


def test_a_file_that_is_not_there_is_named(a_bare_environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    a_bare_environment.setenv("JWT_SECRET", JWT_SECRET)
    a_bare_environment.setenv("ROUTING_DATABASE_URL_FILE", str(tmp_path / "nowhere"))
    with pytest.raises(SystemExit, match=r"ROUTING_DATABASE_URL_FILE: .*nowhere: No such file"):
        load(RoutingSettings)


def test_what_is_not_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(b"\xff\xfe")
    with pytest.raises(UnreadableSetting, match="X_FILE"):
        given("X", {"X_FILE": str(tmp_path / "key")})


def test_what_is_not_given_is_none() -> None:
    assert given("X", {}) is None
    assert given("X", {"X": ""}) is None
