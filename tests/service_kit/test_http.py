"""What every service's HTTP side promises: problems, health, metrics, cursors (contract §3, A2)."""

from __future__ import annotations

from typing import Annotated

import httpx
import pytest
from fastapi import FastAPI, Query
from pydantic import BaseModel, SecretStr

from service_kit.auth import Gate, Tokens
from service_kit.clock import utc_now
from service_kit.http import (
    Problem,
    create_app,
    decode_cursor,
    encode_cursor,
    not_found,
)
from service_kit.settings import TokenSettings


class Thing(BaseModel):
    name: str
    size: int


def an_app(*, ready: bool = True, live: bool = True) -> FastAPI:
    async def readiness() -> dict[str, bool]:
        return {"database": ready}

    app = create_app("tests", title="tests", ready=readiness, live=lambda: {"running": live})

    @app.put("/v1/things/{thing_id}")
    async def put(thing_id: str, thing: Thing, limit: Annotated[int, Query(ge=1)] = 1) -> Thing:
        return thing

    @app.get("/v1/gone")
    async def gone() -> None:
        raise not_found("there is no such thing")

    @app.get("/v1/broken")
    async def broken() -> None:
        raise RuntimeError("+15550100999")

    @app.get("/v1/away")
    async def away() -> None:
        raise ConnectionRefusedError

    return app


def a_client(app: FastAPI) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(app, raise_app_exceptions=False),
        base_url="http://service",
    )


async def test_a_bad_body_is_a_problem_that_names_each_field() -> None:
    async with a_client(an_app()) as client:
        answer = await client.put("/v1/things/a?limit=0", json={"size": "big"})
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert {error["field"] for error in answer.json()["errors"]} == {
        "limit",
        "name",
        "size",
    }


async def test_a_body_that_is_no_json_is_a_problem_too() -> None:
    async with a_client(an_app()) as client:
        answer = await client.put("/v1/things/a", content=b"{", headers={"content-type": "application/json"})
    assert answer.status_code == 422
    assert answer.json()["errors"]


@pytest.mark.parametrize(
    ("path", "status"), [("/v1/gone", 404), ("/nowhere", 404), ("/v1/broken", 500), ("/v1/away", 503)]
)
async def test_every_error_is_a_problem(path: str, status: int) -> None:
    async with a_client(an_app()) as client:
        answer = await client.get(path)
    assert answer.status_code == answer.json()["status"] == status
    assert "5550100999" not in answer.text


async def test_health_says_which_part_does_not_answer() -> None:
    async with a_client(an_app(ready=False)) as client:
        assert (await client.get("/health/live")).status_code == 200
        answer = await client.get("/health/ready")
    assert answer.status_code == 503
    assert answer.json() == {"database": False}


async def test_a_request_is_measured_under_its_routes_template() -> None:
    async with a_client(an_app()) as client:
        await client.put("/v1/things/secret-id", json={"name": "a", "size": 1})
        metrics = (await client.get("/metrics")).text
    assert 'route="/v1/things/{thing_id}"' in metrics
    assert "secret-id" not in metrics


def test_a_cursor_comes_back_as_it_was() -> None:
    assert decode_cursor(encode_cursor("2026-03-01T09:30:00Z", "c1"), 2) == [
        "2026-03-01T09:30:00Z",
        "c1",
    ]


@pytest.mark.parametrize("text", ["", "x", "é", encode_cursor("one"), "AAAA"])
def test_a_cursor_of_somewhere_else_names_its_field(text: str) -> None:
    with pytest.raises(Problem) as problem:
        decode_cursor(text, 2)
    assert problem.value.body.errors is not None
    assert problem.value.body.errors[0].field == "cursor"


async def test_it_describes_the_events_that_its_service_sends_and_receives() -> None:
    async with a_client(create_app("reporting", title="r", ready=always, live=dict)) as client:
        document = (await client.get("/asyncapi.json")).json()
    assert "email.requested.v1" in document["components"]["messages"]
    assert "telephony.ring.v1" not in document["components"]["messages"]
    assert {operation["action"] for operation in document["operations"].values()} == {"send", "receive"}


async def test_without_a_token_nothing_else_is_said_about_a_request() -> None:
    app = an_app()
    app.add_middleware(Gate, tokens=Tokens(TokenSettings(jwt_secret=SecretStr("x" * 32)), utc_now))
    async with a_client(app) as client:
        for answer in (
            await client.put("/v1/things/a", content=b"{", headers={"content-type": "application/json"}),
            await client.put("/v1/things/a", json={}),
            await client.get("/v1/nowhere"),
        ):
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"] == "Bearer"
        assert (await client.get("/health/live")).status_code == 200
        assert (await client.get("/v1/unsubscribe/x")).status_code == 404


async def always() -> dict[str, bool]:
    return {}
