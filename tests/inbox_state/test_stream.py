"""The live stream over real sockets, on one replica and on two (I2, I15)."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import httpx
import pytest
import pytest_asyncio
from pydantic import SecretStr

from contracts.directory import Account, Inbox
from inbox_state.http_api import router
from inbox_state.http_api.broadcast import Broadcast
from inbox_state.live import InboxChanged, Note
from inbox_state.settings import InboxStateSettings
from inbox_state.storage import live as storage
from inbox_state.timers import timers
from service_kit.clock import new_id, utc_now
from service_kit.database import Database
from service_kit.publishing import Publisher
from service_kit.running import Service
from tests.inbox_state.words import (
    ACCOUNT,
    CUSTOMER,
    NEIGHBOUR,
    Office,
    a_reply,
    a_ringing_call,
    a_text,
    a_user,
    at,
    newer,
    the_office,
    the_sales_inbox,
)
from tests.support import JWT_SECRET, FreshDatabase, bearer, eventually
from tests.support.http import http_client
from tests.support.streams import Heard, LiveStream, Screen, open_stream


@dataclass
class Replica:
    """One process' worth of inbox_state's HTTP side, listening on a socket."""

    url: str
    broadcast: Broadcast

    async def stream(
        self, user_id: str = "anna", *, lasting: timedelta = timedelta(hours=1), **query: str
    ) -> LiveStream:
        """A stream of somebody's."""
        return await open_stream(self.url, bearer(user_id, ACCOUNT, lasting=lasting), query)

    def as_(self, user_id: str, **token: Any) -> httpx.AsyncClient:
        """Whoever calls the API."""
        return http_client(self.url, headers=bearer(user_id, ACCOUNT, **token))


StartReplica = Callable[..., Awaitable[Replica]]


@pytest_asyncio.fixture
async def replica_of(database: FreshDatabase, office: Office) -> AsyncIterator[StartReplica]:
    """`await replica_of()`: one more replica over the office's database."""
    async with contextlib.AsyncExitStack() as ending:

        async def start(**limits: int) -> Replica:
            own = Database(database.dsn("inbox_state"), "inbox_state", pool_size=4)
            await own.open()
            ending.push_async_callback(own.close)
            broadcast = Broadcast(own, **limits)
            settings = InboxStateSettings.model_validate(
                {
                    "INBOX_STATE_DATABASE_URL": database.dsn("inbox_state"),
                    "jwt_secret": SecretStr(JWT_SECRET),
                    "log_level": "warning",
                    "host": "127.0.0.1",
                    "port": 0,
                }
            )
            service = Service(
                settings,
                name="inbox_state",
                title="inbox state",
                clock=utc_now,
                database=own,
                publisher=Publisher(settings, client_id="inbox_state"),
                workers=[broadcast],
                routers=[router(own, utc_now, new_id, broadcast)],
            )
            server = service.server()
            # The parts that a service starts with itself need a broker; here it is only its streams.
            server.config.lifespan = "off"
            tasks = [asyncio.create_task(broadcast.run()), asyncio.create_task(server.serve())]
            await eventually(lambda: server.started, because="the replica's socket")

            async def stop() -> None:
                server.should_exit = True
                await tasks[1]
                tasks[0].cancel()
                await asyncio.gather(tasks[0], return_exceptions=True)

            ending.push_async_callback(stop)
            port = server.servers[0].sockets[0].getsockname()[1]
            return Replica(f"http://127.0.0.1:{port}", broadcast)

        yield start


@pytest_asyncio.fixture
async def replica(replica_of: StartReplica) -> Replica:
    """One replica."""
    return await replica_of()


def told(event: str, **given: Any) -> Callable[[list[Heard]], Heard | None]:
    """Whether an event with these data was heard; the last such one."""

    def heard(so_far: list[Heard]) -> Heard | None:
        alike = [one for one in so_far if one.event == event and all(one.data[name] == given[name] for name in given)]
        return alike[-1] if alike else None

    return heard


async def test_a_message_appears_as_the_lists_show_it(office: Office, replica: Replica) -> None:
    stream = await replica.stream()
    await office.deliver(a_text("m1", 1))
    thread = await stream.hears(told("thread"))
    communication = await stream.hears(told("communication", communication_id="m1"))
    assert thread.data == await office.the_thread()
    assert communication.data == (await office.threads(view="unthreaded"))[0]
    assert stream.headers["content-type"].startswith("text/event-stream")
    assert stream.headers["cache-control"] == "no-store"
    assert stream.headers["x-accel-buffering"] == "no"


async def test_read_marks_appear_in_both_views(office: Office, replica: Replica) -> None:
    await office.deliver(a_text("m1", 1), a_text("m2", 2))
    thread_id = (await office.the_thread())["thread_id"]
    stream = await replica.stream("wilma")
    async with replica.as_("anna") as anna:
        await anna.post(f"/v1/threads/{thread_id}/read", json={"through": "m1"})
        await stream.hears(told("thread", unread=1))
        await stream.hears(told("communication", communication_id="m1", unread=False))
        assert not told("communication", communication_id="m2", unread=False)(stream.heard)
        await anna.post(f"/v1/threads/{thread_id}/unread", json={"from": "m1"})
        await stream.hears(told("thread", unread=2))
        await stream.hears(told("communication", communication_id="m1", unread=True))
        await anna.post("/v1/inboxes/sales/read")
        await stream.hears(told("communication", communication_id="m2", unread=False))


async def test_what_a_reply_reads_appears_in_both_views(office: Office, replica: Replica) -> None:
    stream = await replica.stream("wilma")
    await office.deliver(a_text("m1", 1))
    await stream.hears(told("communication", communication_id="m1", unread=True))
    await office.deliver(a_reply("m2", 2))
    await stream.hears(told("thread", unread=0))
    await stream.hears(told("communication", communication_id="m1", unread=False))


async def test_auto_mark_appears(office: Office, replica: Replica) -> None:
    await office.deliver(a_text("m1", 1))
    stream = await replica.stream()
    async with office.as_("adam") as adam:
        body = {"auto_mark_as_read": {"enabled": True, "after_hours": 1}, "manual_mark_as_read_only": False}
        assert (await adam.put("/v1/inboxes/sales/automations", json=body)).status_code == 200
    office.clock.now = at(300)
    await office.tick()
    await stream.hears(told("thread", unread=0))
    await stream.hears(told("communication", communication_id="m1", unread=False))


async def test_what_somebody_sends_appears_to_his_colleague(office: Office, replica: Replica) -> None:
    stream = await replica.stream("bert")
    async with replica.as_("anna") as anna:
        sent = (await anna.post("/v1/inboxes/sales/messages", json={"to": CUSTOMER, "body": "Hi"})).json()
    heard = await stream.hears(told("communication", communication_id=sent["communication_id"]))
    assert heard.data == sent


async def test_a_contacts_name_appears_in_every_row_of_every_inbox(office: Office, replica: Replica) -> None:
    await office.deliver(
        a_text("m1", 1), a_text("m2", 2), a_text("a1", 3, inbox_id="annas"), a_text("n", 4, contact_number=NEIGHBOUR)
    )
    stream = await replica.stream()
    async with replica.as_("anna") as anna:
        await anna.put(f"/v1/contacts/{CUSTOMER}", json={"name": "Cora"})
    for id in ("m1", "m2", "a1"):
        await stream.hears(told("communication", communication_id=id, contact_name="Cora"))
    for inbox_id in ("sales", "annas"):
        await stream.hears(told("thread", inbox_id=inbox_id, contact_name="Cora"))
    assert not told("communication", communication_id="n")(stream.heard)


async def test_an_inbox_that_is_renamed_is_loaded_again(office: Office, replica: Replica) -> None:
    stream, other = await replica.stream("bert"), await replica.stream("sue")
    await office.learn(the_sales_inbox(2, name="Verkauf"))
    await stream.hears(told("reset"))
    await office.deliver(a_text("s1", 1, inbox_id="support"))
    await other.hears(told("thread"))
    assert not told("reset")(other.heard)


async def test_ids_only_grow_and_the_last_event_of_a_reading_moves_them(office: Office, replica: Replica) -> None:
    stream = await replica.stream()
    for n in range(5):
        await office.deliver(a_text(f"m{n}", n), a_text(f"n{n}", n, contact_number=NEIGHBOUR))
        await stream.hears(told("communication", communication_id=f"n{n}"))
    moments = [tuple(int(part) for part in one.id.split(":")[:2]) for one in stream.heard]
    assert moments == sorted(moments)
    assert len(set(moments)) > 1


@pytest.mark.parametrize("by", ["header", "query"])
async def test_a_dropped_stream_resumes_and_loses_nothing(office: Office, replica: Replica, by: str) -> None:
    stream = await replica.stream()
    await office.deliver(a_text("m1", 1))
    await stream.hears(told("communication", communication_id="m1"))
    stream.close()
    await office.deliver(a_text("m2", 2), a_text("a1", 2, inbox_id="annas"), a_text("s1", 2, inbox_id="support"))
    await office.deliver(newer(a_text("m1", 1), body="changed"))
    headers = bearer("anna", ACCOUNT)
    if by == "header":
        again = await open_stream(replica.url, headers | {"Last-Event-ID": stream.last_id}, {"after": "1:1:"})
    else:
        again = await open_stream(replica.url, headers, {"after": stream.last_id})
    await again.hears(told("communication", communication_id="m2"))
    await again.hears(told("communication", communication_id="m1", body="changed"))
    await again.hears(told("communication", communication_id="a1"))
    await again.hears(told("thread", unread=2))
    assert not told("communication", communication_id="s1")(again.heard)
    assert not told("reset")(again.heard)
    await office.deliver(a_text("m3", 3))
    await again.hears(told("communication", communication_id="m3"))


async def test_a_stream_that_heard_nothing_yet_can_be_resumed_too(office: Office, replica: Replica) -> None:
    stream = await replica.stream()
    assert stream.heard == []
    stream.close()
    await office.deliver(a_text("m1", 1))
    again = await replica.stream(after=stream.last_id)
    await again.hears(told("communication", communication_id="m1"))


async def test_what_began_before_an_id_and_was_committed_after_it_is_not_lost(
    office: Office, state_database: Database, replica: Replica
) -> None:
    await office.deliver(a_text("m1", 1), a_text("n1", 1, contact_number=NEIGHBOUR))
    rows = {row["contact_number"]: row["thread_id"] for row in await office.threads()}
    note = Note(ACCOUNT, "sales", InboxChanged({rows[NEIGHBOUR]: None}, communications={"n1"}))
    stream = await replica.stream()
    async with state_database.transaction() as slow:
        await storage.note(slow, [note])
        await office.deliver(a_text("m2", 2))
        await stream.hears(told("communication", communication_id="m2"))
        stream.close()
        meanwhile = await replica.stream()
    await meanwhile.hears(told("communication", communication_id="n1"))
    again = await replica.stream(after=stream.last_id)
    await again.hears(told("communication", communication_id="n1"))
    assert not told("communication", communication_id="m2")(again.heard)


async def test_a_long_transaction_makes_nothing_come_twice(
    office: Office, state_database: Database, replica: Replica
) -> None:
    async with state_database.transaction() as slow:
        await slow.execute("SELECT pg_current_xact_id()")
        stream = await replica.stream()
        for n in range(5):
            await office.deliver(a_text(f"m{n}", n))
            await stream.hears(told("communication", communication_id=f"m{n}"))
    assert [one.data["communication_id"] for one in stream.heard if one.event == "communication"] == [
        f"m{n}" for n in range(5)
    ]


async def test_a_change_reaches_the_streams_of_every_replica(office: Office, replica_of: StartReplica) -> None:
    one, two = await replica_of(), await replica_of()
    streams = [await one.stream(), await two.stream()]
    async with one.as_("anna") as anna:
        await anna.post("/v1/inboxes/sales/messages", json={"to": CUSTOMER, "body": "Hi"})
    for stream in streams:
        await stream.hears(told("communication", body="Hi"))
    streams[0].close()
    await office.deliver(a_text("m1", 1))
    elsewhere = await two.stream(after=streams[0].last_id)
    await elsewhere.hears(told("communication", communication_id="m1"))


async def test_only_the_inbox_that_was_asked_for(office: Office, replica: Replica) -> None:
    only, everything = await replica.stream(inbox_id="annas"), await replica.stream(inbox_id="all")
    await office.deliver(a_text("m1", 1), a_text("a1", 2, inbox_id="annas"))
    await only.hears(told("communication", communication_id="a1"))
    await everything.hears(told("communication", communication_id="a1"))
    await everything.hears(told("communication", communication_id="m1"))
    assert not told("communication", communication_id="m1")(only.heard)


async def test_a_thread_that_lost_its_only_communication_is_gone(office: Office, replica: Replica) -> None:
    await office.deliver(a_text("m1", 1))
    thread_id = (await office.the_thread())["thread_id"]
    stream = await replica.stream("bert")
    await office.deliver(newer(a_text("m1", 1), inbox_id="support"))
    assert (await stream.hears(told("gone"))).data == {"inbox_id": "sales", "thread_id": thread_id}
    assert not told("communication")(stream.heard)


async def test_a_thread_that_lost_one_of_several_is_forgotten_and_shown_again(office: Office, replica: Replica) -> None:
    stream, screen = await replica.stream("bert"), Screen()
    await office.deliver(a_text("m1", 1), a_text("m2", 2), a_reply("m3", 3))
    await stream.hears(told("communication", communication_id="m3"))
    await office.deliver(newer(a_text("m2", 2), inbox_id="support"))
    await stream.hears(lambda heard: told("gone")(heard) and heard[-1].event == "communication")
    for one in stream.heard:
        screen.show(one)
    assert sorted(screen.communications) == ["m1", "m3"]
    assert list(screen.threads.values()) == await office.threads("bert")


async def test_whoever_is_taken_out_of_an_inbox_hears_that_it_is_gone_and_no_more_of_it(
    office: Office, replica: Replica
) -> None:
    stream, other = await replica.stream("anna"), await replica.stream("bert")
    await office.learn(the_sales_inbox(2, connected=("bert",)))
    assert (await stream.hears(told("gone"), 5)).data == {"inbox_id": "sales"}
    await office.deliver(a_text("m1", 1), a_text("a1", 2, inbox_id="annas"))
    await other.hears(told("communication", communication_id="m1"))
    await stream.hears(told("communication", communication_id="a1"))
    assert {one.data["inbox_id"] for one in stream.heard if one.event != "gone"} == {"annas"}


async def test_whoever_lost_an_inbox_while_he_was_away_loads_again(office: Office, replica: Replica) -> None:
    stream = await replica.stream("anna")
    stream.close()
    await office.learn(the_sales_inbox(2, connected=("bert",)))
    await office.deliver(a_text("m1", 1))
    again = await replica.stream("anna", after=stream.last_id)
    assert [one.event for one in again.heard] == ["reset"]


async def test_whoever_comes_into_an_inbox_loads_again_and_hears_of_it(office: Office, replica: Replica) -> None:
    stream = await replica.stream("sue")
    await office.learn(the_sales_inbox(2, connected=("anna", "sue")))
    await stream.hears(told("reset"))
    await office.deliver(a_text("m1", 1))
    await stream.hears(told("communication", communication_id="m1"))


async def test_an_inbox_that_is_deleted_is_gone_for_all(office: Office, replica: Replica) -> None:
    stream = await replica.stream("wilma")
    await office.learn(the_sales_inbox(2, deleted=True, connected=(), watchers=()))
    assert (await stream.hears(told("gone"))).data == {"inbox_id": "sales"}


async def test_a_watcher_hears_what_he_watches(office: Office, replica: Replica) -> None:
    stream = await replica.stream("wilma")
    await office.deliver(a_text("s1", 1, inbox_id="support"), a_ringing_call("c1", 1))
    await stream.hears(told("communication", communication_id="c1", active=True))
    assert not told("communication", communication_id="s1")(stream.heard)


async def test_an_admin_hears_everything_while_the_account_lets_him(office: Office, replica: Replica) -> None:
    acme = next(one for one in the_office() if isinstance(one, Account))
    stream = await replica.stream("adam")
    await office.deliver(a_text("m1", 1))
    await office.learn(acme.model_copy(update={"version": 2, "admins_see_all": True}))
    await stream.hears(told("reset"))
    assert not told("thread")(stream.heard)
    await office.deliver(a_text("s1", 2, inbox_id="support"))
    await stream.hears(told("communication", communication_id="s1"))
    await office.learn(Inbox(version=1, inbox_id="new", name="New", kind="connected"))
    await office.deliver(a_text("x1", 2, inbox_id="new"))
    await stream.hears(
        lambda heard: (
            told("communication", communication_id="x1")(heard)
            or len([one for one in heard if one.event == "reset"]) > 1
        )
    )
    await office.learn(acme.model_copy(update={"version": 3}))
    await stream.hears(told("gone", inbox_id="support"))


async def test_a_stream_ends_when_its_user_is_deactivated(office: Office, replica_of: StartReplica) -> None:
    one, two = await replica_of(), await replica_of()
    streams = [await one.stream("bert"), await two.stream("bert", inbox_id="sales")]
    other = await one.stream("anna")
    await office.learn(a_user("bert", 2, active=False))
    for stream in streams:
        await stream.ends(5)
        assert stream.whole
    assert not other.ended
    assert (await open_stream(one.url, bearer("bert", ACCOUNT))).status == 403


async def test_a_stream_ends_when_its_token_expires(replica: Replica) -> None:
    stream = await replica.stream(lasting=timedelta(seconds=2))
    assert stream.status == 200
    await stream.ends(10)
    assert stream.whole


async def test_a_ticket_opens_one_stream_on_any_replica(office: Office, replica_of: StartReplica) -> None:
    one, two = await replica_of(), await replica_of()
    async with one.as_("anna") as anna:
        made = await anna.post("/v1/stream/tickets")
    assert made.status_code == 201
    ticket = made.json()["ticket"]
    stream = await open_stream(two.url, {}, {"ticket": ticket, "inbox_id": "annas"})
    await office.deliver(a_text("a1", 1, inbox_id="annas"))
    await stream.hears(told("communication", communication_id="a1"))
    for url in (one.url, two.url):
        assert (await open_stream(url, {}, {"ticket": ticket})).status == 401


async def test_a_ticket_is_its_callers_and_keeps_the_tokens_expiry(replica: Replica) -> None:
    async with replica.as_("sue", lasting=timedelta(seconds=3)) as sue:
        tickets = [(await sue.post("/v1/stream/tickets")).json()["ticket"] for _ in range(2)]
    assert (await open_stream(replica.url, {}, {"ticket": tickets[0], "inbox_id": "sales"})).status == 404
    stream = await open_stream(replica.url, {}, {"ticket": tickets[1], "inbox_id": "support"})
    assert stream.status == 200
    await stream.ends(10)


async def test_a_ticket_that_was_not_used_in_time_is_no_good(
    office: Office, state_database: Database, replica: Replica
) -> None:
    async with replica.as_("anna") as anna:
        tickets = [(await anna.post("/v1/stream/tickets")).json()["ticket"] for _ in range(2)]
    async with state_database.transaction() as connection:
        await connection.execute("UPDATE stream_tickets SET expires_at = now() - interval '1 second'")
    assert (await open_stream(replica.url, {}, {"ticket": tickets[0]})).status == 401
    office.clock.now = utc_now()
    await office.tick()
    async with state_database.connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM stream_tickets") == 0


async def test_who_may_not_see_gets_no_stream(replica: Replica) -> None:
    assert (await open_stream(replica.url)).status == 401
    assert (await open_stream(replica.url, {"Authorization": "Bearer nonsense"})).status == 401
    assert (await open_stream(replica.url, {}, {"ticket": "nonsense"})).status == 401
    # A token is taken for half a minute longer than it lasts; a stream would end at once.
    assert (await replica.stream(lasting=timedelta(seconds=-5))).status == 401
    assert (await replica.stream("sue", inbox_id="sales")).status == 404
    assert (await replica.stream("anna", inbox_id="nowhere")).status == 404
    assert (await replica.stream("gone")).status == 403
    assert (await replica.stream("nobody")).status == 403
    machine = bearer("set-up", ACCOUNT, scope="directory")
    assert (await open_stream(replica.url, machine)).status == 403
    async with http_client(replica.url) as nobody:
        assert (await nobody.post("/v1/stream/tickets")).status_code == 401
        assert (await nobody.post("/v1/stream/tickets", headers=machine)).status_code == 403
    other = await open_stream(replica.url, bearer("anna", "other"), {"inbox_id": "sales"})
    assert other.status == 403


async def test_an_id_that_is_none_is_refused(replica: Replica) -> None:
    assert (await replica.stream(after="yesterday")).status == 422
    headers = bearer("anna", ACCOUNT) | {"Last-Event-ID": "5:3:"}
    assert (await open_stream(replica.url, headers)).status == 422
    # Whom an inbox is none of his business learns nothing by it.
    assert (await replica.stream("sue", inbox_id="sales", after="yesterday")).status == 404


@pytest.mark.parametrize("id", ["1:1:", "99999999999:99999999999:"])
async def test_an_id_that_is_too_old_or_of_another_database_loads_again(replica: Replica, id: str) -> None:
    stream = await replica.stream(after=id)
    assert [one.event for one in stream.heard] == ["reset"]
    assert stream.heard[0].data == {}
    assert stream.last_id != id


async def test_what_is_old_is_forgotten_and_then_an_old_id_loads_again(
    office: Office, state_database: Database, replica: Replica
) -> None:
    stream = await replica.stream()
    await office.deliver(a_text("m1", 1))
    await stream.hears(told("communication"))
    (forget,) = (
        one for one in timers(state_database, utc_now, timedelta(1), timedelta(0)) if one.name == "forget-live-changes"
    )
    await forget.work()
    async with state_database.connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM live_changes") == 0
    again = await replica.stream(after="3:3:")
    assert [one.event for one in again.heard] == ["reset"]
    await office.deliver(a_text("m2", 2))
    for one in (stream, again):
        await one.hears(told("communication", communication_id="m2"))
    assert not told("reset")(stream.heard)
    fresh = await replica.stream(after=stream.last_id)
    assert not told("reset")(fresh.heard)


async def test_where_too_much_changes_at_once_clients_load_again(office: Office, replica_of: StartReplica) -> None:
    replica = await replica_of(most_rows_at_once=10)
    stream = await replica.stream()
    await office.deliver(*(a_text(f"m{n}", n) for n in range(20)), a_text("a1", 1, inbox_id="annas"))
    await stream.hears(told("reset"))
    assert not told("communication")(stream.heard)
    stream.close()
    again = await replica.stream(after="1:1:")
    assert [one.event for one in again.heard] == ["reset"]


async def test_who_is_told_to_load_again_and_again_is_told_once_a_second_and_misses_nothing(
    office: Office, replica_of: StartReplica
) -> None:
    replica = await replica_of(most_rows_at_once=10)
    stream = await replica.stream()
    for round in range(10):
        await office.deliver(*(a_text(f"m{round}-{n}", n) for n in range(20)))
    await stream.hears(lambda heard: len(heard) >= 2)
    assert {one.event for one in stream.heard} == {"reset"}
    assert len(stream.heard) < 10
    await office.deliver(a_text("last", 99))
    # Whatever comes after the last reset is told as a row, or by another reset.
    await stream.hears(lambda heard: told("communication", communication_id="last")(heard) or len(heard) >= 3)


async def test_a_client_that_does_not_read_is_cut_off_and_others_go_on(
    office: Office, replica_of: StartReplica
) -> None:
    replica = await replica_of(most_bytes_waiting=100_000)
    slow = await open_stream(replica.url, bearer("anna", ACCOUNT), receive_buffer=4_096)
    other = await replica.stream("bert")
    assert slow.transport is not None
    slow.transport.pause_reading()
    (client,) = (one for one in replica.broadcast._clients[ACCOUNT] if one.user_id == "anna")
    sent = 0
    while not client.cut_off:
        sent += 1
        assert sent < 1_000
        await office.deliver(a_text(f"m{sent}", sent, body="x" * 20_000))
        await other.hears(told("communication", communication_id=f"m{sent}"))
    await eventually(lambda: client not in replica.broadcast._clients[ACCOUNT], because="the slow client's end")
    slow.transport.resume_reading()
    await slow.ends()
    assert not slow.whole
    async with replica.as_("bert") as bert:
        metrics = (await bert.get("/metrics")).text
    assert 'connected_inbox_stream_clients{service="inbox_state"} 1.0' in metrics
    await office.deliver(a_text("last", 9_000))
    await other.hears(told("communication", communication_id="last"))
    again = await replica.stream("anna", after=slow.last_id)
    await again.hears(lambda heard: told("communication", communication_id="last")(heard) or told("reset")(heard))


async def test_a_client_that_goes_away_is_forgotten(replica: Replica) -> None:
    stream = await replica.stream()
    stream.close()
    await eventually(lambda: not replica.broadcast._clients and not replica.broadcast._viewers)


async def test_streams_go_on_when_their_connection_to_postgres_breaks(
    office: Office, database: FreshDatabase, state_database: Database, replica: Replica
) -> None:
    stream = await replica.stream()
    async with state_database.connection() as connection:
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        await connection.execute("SELECT 1")
    await office.deliver(a_text("m1", 1))
    await stream.hears(told("communication", communication_id="m1"))
    assert not told("reset")(stream.heard)


async def test_streams_end_when_the_service_is_told_to_stop(replica: Replica) -> None:
    stream = await replica.stream()
    replica.broadcast.let_go()
    await stream.ends(5)
    assert stream.whole
    assert (await replica.stream()).status == 503
