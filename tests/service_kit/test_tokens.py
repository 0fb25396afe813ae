"""A1: who calls is what a good token says, and nobody else."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey
from pydantic import SecretStr

from service_kit.auth import Tokens, sign
from service_kit.http import Problem
from service_kit.settings import TokenSettings

SECRET = "a secret of the tests, long enough"
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def tokens() -> Tokens:
    return Tokens(TokenSettings(jwt_secret=SecretStr(SECRET)), lambda: NOW)


def a_token(**claims: Any) -> str:
    key = OctKey.import_key(claims.pop("secret", SECRET))
    good = {
        "sub": "anna",
        "account_id": "acme",
        "aud": "connected-inbox",
        "exp": int((NOW + timedelta(hours=1)).timestamp()),
    }
    return jwt.encode(
        {"alg": "HS256"},
        {k: v for k, v in (good | claims).items() if v is not None},
        key,
    )


async def test_a_signed_token_names_its_user_and_account() -> None:
    token = sign(
        SECRET,
        user_id="anna",
        account_id="acme",
        now=NOW,
        lasts=timedelta(hours=1),
        scope="directory x",
    )
    caller = await tokens().caller(token)
    assert (caller.user_id, caller.account_id, caller.is_machine) == (
        "anna",
        "acme",
        True,
    )
    assert caller.expires_at == NOW + timedelta(hours=1)


async def test_a_person_has_no_scope_and_is_no_machine() -> None:
    assert not (await tokens().caller(a_token())).is_machine


@pytest.mark.parametrize(
    "token",
    [
        pytest.param("", id="empty"),
        pytest.param("no token", id="garbage"),
        pytest.param(a_token(secret="another secret, just as long"), id="another secret"),
        pytest.param(a_token(exp=int((NOW - timedelta(minutes=2)).timestamp())), id="expired"),
        pytest.param(a_token(exp=None), id="never expires"),
        pytest.param(a_token(aud="somebody else"), id="for another audience"),
        pytest.param(a_token(aud=None), id="for no audience"),
        pytest.param(a_token(sub=None), id="no user"),
        pytest.param(a_token(account_id=7), id="an account that is no string"),
    ],
)
async def test_a_token_that_is_not_good_is_refused(token: str) -> None:
    with pytest.raises(Problem) as refused:
        await tokens().caller(token)
    assert refused.value.body.status == 401
    assert refused.value.headers == {"WWW-Authenticate": "Bearer"}


async def test_an_unsigned_token_is_refused() -> None:
    def part(value: dict[str, Any]) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    claims = {
        "sub": "anna",
        "account_id": "acme",
        "aud": "connected-inbox",
        "exp": NOW.timestamp() + 60,
    }
    with pytest.raises(Problem):
        await tokens().caller(f"{part({'alg': 'none'})}.{part(claims)}.")


async def test_a_token_signed_by_another_kind_of_key_is_refused() -> None:
    key = RSAKey.generate_key(2048)
    claims = {
        "sub": "anna",
        "account_id": "acme",
        "aud": "connected-inbox",
        "exp": NOW.timestamp() + 60,
    }
    with pytest.raises(Problem):
        await tokens().caller(jwt.encode({"alg": "RS256"}, claims, key))
