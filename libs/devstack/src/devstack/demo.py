"""`python -m devstack.demo` (`make demo`): a yesterday and a few live minutes on the real stack, checked.

Every run starts from an empty folder of its own. On a terminal the stack stays up until Ctrl-C; elsewhere the
exit code says whether everything that is shown was really there. With `--elsewhere` it plays on an installation
that runs already, such as docker-compose's, in an account that is not there yet.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from importlib import resources
from typing import Any, Final, NoReturn
from zoneinfo import ZoneInfo

import httpx
from aiokafka import AIOKafkaConsumer
from rich.console import Console

from contracts import commands, telephony
from contracts.commands import Command, Ring, SendMessage
from contracts.envelope import Event, decode
from contracts.fields import Data
from contracts.topics import TELEPHONY_COMMANDS, TELEPHONY_EVENTS
from devstack import showing, stand_in
from devstack.api import Api, Refused, Unreachable
from devstack.applying import apply
from devstack.progress import Progress
from devstack.setup_file import SetupFile, parse
from devstack.showing import Letter
from devstack.simulator import Day, Meant, day, randomness
from devstack.stages import Elsewhere, ElsewhereSettings, Stage
from devstack.traffic import keep_coming
from service_kit.auth import DIRECTORY_SCOPE, sign
from service_kit.clock import new_id, utc_now
from service_kit.publishing import Outgoing, Publisher
from service_kit.settings import KafkaSettings, load

EVENTS: Final = 600
SEED: Final = "brightside"
PATIENCE_SECONDS: Final = 45.0
TOKEN_LASTS: Final = timedelta(hours=12)

ADMINISTRATOR: Final = "maria"
AGENT: Final = "anna"
INBOX: Final = "support"
LINE: Final = "+12125550190"
THREADS_SHOWN: Final = 9
WIDTH_ELSEWHERE: Final = 150
"""Columns where there is no terminal that has a width of its own."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody who calls or texts in the live part."""

    number: str
    name: str


# British numbers kept for fiction: none of the simulated contacts, who are American, can have one of them.
ROBIN: Final = Caller("+442079460142", "Robin Vale")
MEI: Final = Caller("+441134960117", "Mei Moreno")
JONAS: Final = Caller("+441214960163", "Jonas Brandt")
PRIYA: Final = Caller("+441414960128", "Priya Silva")
OMAR: Final = Caller("+441614960175", "Omar Byrne")

EXPECTED_EMAILS: Final[Mapping[str, Caller]] = {
    "missed call": MEI,
    "voicemail": JONAS,
    "abandoned call": OMAR,
    "message": PRIYA,
}
"""Whom each kind of watcher e-mail of the live part is about (N1)."""


@dataclass(slots=True)
class Checks:
    """What was really there, and what was not."""

    failures: list[str] = field(default_factory=list)
    count: int = 0

    def that(self, fact: bool, claim: str) -> None:
        """Note whether a claim about the stack holds."""
        self.count += 1
        if not fact:
            self.failures.append(claim)

    async def soon(self, reached: Callable[[], bool], claim: str) -> bool:
        """Wait until something is so, for as long as patience lasts, and note whether it was."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            with contextlib.suppress(Refused, Unreachable):
                if reached():
                    self.that(True, claim)
                    return True
            if time.monotonic() > deadline:
                self.that(False, f"{claim} (not within {PATIENCE_SECONDS:.0f} s)")
                return False
            await asyncio.sleep(0.1)


@dataclass(slots=True)
class Telephony:
    """The demo's telephony system: it reports what happens and hears what it is told."""

    account_id: str
    publisher: Publisher
    heard: list[Command] = field(default_factory=list)

    async def report(self, event_type: str, data: Data, at: datetime | None = None) -> None:
        """Publish one event that happens now, or happened `at`."""
        at = at or utc_now()
        event = Event(new_id(), "/telephony/demo", event_type, at, self.account_id, data)
        await self.publisher.publish([stand_in.outgoing(event, at)])

    def ring_for(self, call_id: str) -> Ring | None:
        """The ring command for a call, once it was heard."""
        return next((heard for heard in self.heard if isinstance(heard, Ring) and heard.call_id == call_id), None)

    def text_to(self, number: str) -> SendMessage | None:
        """The command to text somebody, once it was heard."""
        return next(
            (heard for heard in self.heard if isinstance(heard, SendMessage) and heard.to_number == number),
            None,
        )


@dataclass(slots=True)
class Shown:
    """What the demo found and prints at its end."""

    panel: Sequence[Mapping[str, Any]] = ()
    threads: Sequence[Mapping[str, Any]] = ()
    ring: Ring | None = None
    live_emails: Sequence[Letter] = ()
    report_emails: Sequence[Letter] = ()
    report: Mapping[str, Any] | None = None


@dataclass(slots=True)
class Demo:
    """One run against a stack that is up."""

    stage: Stage
    setup: SetupFile
    progress: Progress
    checks: Checks
    yesterday: date
    people: dict[str, Api] = field(default_factory=dict)
    shown: Shown = field(default_factory=Shown)

    @property
    def zone(self) -> ZoneInfo:
        """The account's time zone."""
        return ZoneInfo(self.setup.account.time_zone)

    def token(self, user_id: str, scope: str = "") -> str:
        """A token that the stack accepts."""
        return sign(
            self.stage.jwt_secret,
            user_id=user_id,
            account_id=self.setup.account.account_id,
            now=utc_now(),
            lasts=TOKEN_LASTS,
            scope=scope,
        )

    def as_person(self, user_id: str) -> Api:
        """The services as one user of the account reaches them."""
        if user_id not in self.people:
            self.people[user_id] = Api(self.stage.urls, self.token(user_id))
        return self.people[user_id]

    async def run(self) -> None:
        """Apply, play yesterday, live, report; every step notes what it found."""
        self.apply_account()
        told = day(self.setup.for_simulation(), self.yesterday, self.zone, randomness(SEED, self.yesterday), EVENTS)
        kafka = self.stage.kafka
        publisher = Publisher(kafka, client_id="demo")
        await publisher.open()
        try:
            await self.play_yesterday(told, publisher)
            async with _listening(kafka, self.setup.account.account_id, publisher) as side:
                await self.live(side)
        finally:
            await publisher.close()
        await self.report(told)

    def apply_account(self) -> None:
        """Bring the demo account into the empty stack."""
        self.progress.now("applying the demo account")
        with Api(self.stage.urls, self.token("demo", "directory")) as api:
            changes = list(apply(self.setup, api))
            again = list(apply(self.setup, api))
        self.checks.that(
            all(change.how == "unchanged" for change in again), "applying the account again changes nothing"
        )
        self.progress.done(
            f"account {self.setup.account.account_id}: {len(self.setup.users)} users, "
            f"{len(self.setup.teams)} teams, {len(self.setup.inboxes)} inboxes, "
            f"{len(self.setup.lines)} lines in {len(changes)} requests"
        )

    async def play_yesterday(self, told: Day, publisher: Publisher) -> None:
        """Put a day on telephony-events and wait until every communication shows with its status."""
        self.progress.now(f"playing {self.yesterday} through {TELEPHONY_EVENTS.name}")
        began = time.monotonic()
        for record in told.records:
            # One after another, as they came in: what is unread depends on what reached us before what (I11).
            await publisher.publish([Outgoing(TELEPHONY_EVENTS.name, record.key, record.value, record.headers)])
        meant = {one.communication_id: _essence(one) for one in told.communications}
        view = self.as_person(ADMINISTRATOR)

        def all_there() -> bool:
            rows = view.all_items("inbox_state", "inboxes", "all", "threads", view="unthreaded")
            return {row["communication_id"]: _essence_of_row(row) for row in rows} == meant

        if await self.checks.soon(all_there, "each of yesterday's calls and texts shows with its status"):
            seconds = time.monotonic() - began
            self.progress.done(
                f"yesterday: {len(told.records)} events, {len(meant)} calls and texts, all there in {seconds:.1f} s"
            )
        threads = view.all_items("inbox_state", "inboxes", "all", "threads")
        self.checks.that(
            Counter((row["inbox_id"], row["contact_number"]) for row in threads) == _threads_of(told),
            "a thread for each inbox and contact, and one for each withheld number",
        )
        panel = {row["inbox_id"]: row["unread"] for row in view.get("inbox_state", "panel")["items"]}
        unread: Counter[str] = Counter()
        for row in threads:
            unread[row["inbox_id"]] += row["unread"]
        self.checks.that(
            set(panel) == set(self.setup.inboxes) and all(panel[inbox] == unread[inbox] for inbox in panel),
            "the panel's unread counts are the sums of the threads'",
        )
        self.checks.that(sum(panel.values()) > 0, "something of yesterday is unread")

    async def live(self, side: Telephony) -> None:
        """What happens now: an answered call, four things that need attention, a reply, and the e-mails."""
        team = self.setup.connected(INBOX)
        for user_id in team:
            await side.report("telephony.user.presence.v1", telephony.UserPresence(user_id=user_id, status="available"))
        # Presence and calls lie on different partitions: one may be read before the other.
        await self.checks.soon(
            lambda: set(team) == self._would_ring(), "everybody who says that he is available would be rung"
        )
        self.progress.now("a call rings")
        call_id = await self._starts(side, ROBIN)
        if await self.checks.soon(
            lambda: side.ring_for(call_id) is not None, "a ring command for the call is on telephony-commands"
        ):
            self.shown.ring = side.ring_for(call_id)
        ring = self.shown.ring
        self.checks.that(
            ring is not None and {user for layer in ring.layers for user in layer.user_ids} == set(team),
            "the ring plan names everybody who is connected and available",
        )
        await side.report("telephony.call.ringing.v1", telephony.CallRinging(call_id=call_id, user_ids=team))
        await side.report("telephony.call.answered.v1", telephony.CallAnswered(call_id=call_id, user_id=AGENT))
        await self._needs_attention(side, team)
        agent = self.as_person(AGENT)
        await self.checks.soon(
            lambda: all(self._thread(agent, caller)["unread"] == 1 for caller in (MEI, JONAS, OMAR, PRIYA)),
            "the missed call, the voicemail, the abandoned call and the text are unread",
        )
        await self._replies(side, agent)
        self.progress.now("waiting for the watchers' e-mails")
        watchers = self.setup.inboxes[INBOX].watchers or ()
        addresses = [self.setup.users[user_id].email for user_id in watchers]
        await self.checks.soon(
            lambda: _emails_missing(self.stage.letters(), addresses) == [],
            "each watcher has an e-mail of each kind",
        )
        arrived = self.stage.letters()
        self.shown.live_emails = [
            letter for letter in arrived if any(letter.tells_of(caller.number) for caller in EXPECTED_EMAILS.values())
        ]
        self.checks.that(
            len(self.shown.live_emails) == len(EXPECTED_EMAILS) * len(addresses),
            "and no watcher has one of them twice",
        )
        self.progress.done(f"{len(self.shown.live_emails)} e-mails about what happened just now")
        self.shown.panel = agent.get("inbox_state", "panel")["items"]
        self.shown.threads = agent.get("inbox_state", "inboxes", INBOX, "threads", limit=THREADS_SHOWN)["items"]
        top = self.shown.threads[0] if self.shown.threads else {}
        self.checks.that(
            top.get("contact_number") == ROBIN.number and top.get("active_call") is True,
            "the call in progress stands on top",
        )
        await side.report("telephony.call.ended.v1", telephony.CallEnded(call_id=call_id, outcome="completed"))
        await self.checks.soon(
            lambda: (
                self._thread(agent, ROBIN)["latest"]["status"] == "completed"
                and not self._thread(agent, ROBIN)["active_call"]
            ),
            "the call is completed once it has ended",
        )

    def _would_ring(self) -> set[str]:
        plan = self.as_person(ADMINISTRATOR).get("routing", "inboxes", INBOX, "ring-plan")
        return {user_id for layer in plan["layers"] for user_id in layer["user_ids"]}

    async def _starts(self, side: Telephony, caller: Caller, *, menu: bool = False) -> str:
        call_id = f"demo-{new_id()}"
        started = telephony.CallStarted(
            call_id=call_id,
            direction="inbound",
            line_number=LINE,
            contact_number=caller.number,
            contact_name=caller.name,
            menu=menu,
        )
        await side.report("telephony.call.started.v1", started)
        return call_id

    async def _needs_attention(self, side: Telephony, team: tuple[str, ...]) -> None:
        self.progress.now("a missed call, a voicemail, an abandoned call, a text")
        others = tuple(user_id for user_id in team if user_id != AGENT)
        missed = await self._starts(side, MEI)
        await side.report("telephony.call.ringing.v1", telephony.CallRinging(call_id=missed, user_ids=others))
        await side.report("telephony.call.ended.v1", telephony.CallEnded(call_id=missed, outcome="missed"))
        voicemail = await self._starts(side, JONAS)
        await side.report("telephony.call.ringing.v1", telephony.CallRinging(call_id=voicemail, user_ids=others))
        await side.report("telephony.call.ended.v1", telephony.CallEnded(call_id=voicemail, outcome="voicemail"))
        await side.report(
            "telephony.voicemail.recorded.v1",
            telephony.VoicemailRecorded(
                call_id=voicemail,
                recording_url="https://recordings.example.com/demo.mp3",
                duration_seconds=21,
                transcript="Hello, this is Jonas. The machine has stopped again, please call me back.",
            ),
        )
        abandoned = await self._starts(side, OMAR, menu=True)
        await side.report("telephony.call.ended.v1", telephony.CallEnded(call_id=abandoned, outcome="abandoned"))
        await side.report(
            "telephony.message.received.v1",
            telephony.MessageReceived(
                message_id=f"demo-{new_id()}",
                direction="inbound",
                line_number=LINE,
                contact_number=PRIYA.number,
                contact_name=PRIYA.name,
                body="Is my order on its way? 📦",
            ),
        )

    async def _replies(self, side: Telephony, agent: Api) -> None:
        self.progress.now("an agent replies")
        agent.post(
            "inbox_state",
            "inboxes",
            INBOX,
            "messages",
            body={"to": PRIYA.number, "body": "Yes, it comes tomorrow between 9 and 12."},
        )
        await self.checks.soon(
            lambda: side.text_to(PRIYA.number) is not None,
            "a command to send the reply is on telephony-commands",
        )
        command = side.text_to(PRIYA.number)
        for happening in stand_in.reaction(command) if command else ():
            await side.report(happening.type, happening.data)
        await self.checks.soon(
            lambda: (
                self._thread(agent, PRIYA)["latest"]["status"] == "delivered"
                and self._thread(agent, PRIYA)["unread"] == 0
            ),
            "the reply is delivered and has read the thread for everybody",
        )

    def _thread(self, person: Api, caller: Caller) -> Mapping[str, Any]:
        rows = person.all_items("inbox_state", "inboxes", INBOX, "threads")
        found = [row for row in rows if row["contact_number"] == caller.number]
        if len(found) != 1:
            raise Refused(404, "no such thread yet")
        row: Mapping[str, Any] = found[0]
        return row

    async def report(self, told: Day) -> None:
        """Ask for yesterday's report, wait for its e-mails, and compare its figures with what was played."""
        self.progress.now("asking for yesterday's report")
        administrator = self.as_person(ADMINISTRATOR)
        before = len(self.stage.letters())
        administrator.post(
            "reporting",
            "inboxes",
            INBOX,
            "reports",
            "daily-activity",
            "send",
            body={"date": self.yesterday.isoformat()},
        )
        recipients = {*(self.setup.inboxes[INBOX].watchers or ())}
        for team_id in self.setup.inboxes[INBOX].agents.teams:
            recipients |= set(self.setup.teams[team_id].supervisors)
        addresses = {self.setup.users[user_id].email for user_id in recipients}

        def reports() -> list[Letter]:
            return [
                letter
                for letter in self.stage.letters()
                if "activity" in letter.subject.lower() and "support" in letter.subject.lower()
            ]

        await self.checks.soon(
            lambda: all(any(address in letter.recipient for letter in reports()) for address in addresses),
            "each recipient has yesterday's report by e-mail",
        )
        self.shown.report_emails = reports()
        self.checks.that(len(self.shown.report_emails) == len(addresses), "and nobody has the report twice")
        self.checks.that(len(self.stage.letters()) > before, "the e-mails lie in the mailbox")
        document = administrator.get(
            "reporting", "inboxes", INBOX, "reports", "daily-activity", date=self.yesterday.isoformat()
        )
        self.shown.report = document
        expected = _figures(told, INBOX)
        found = {figure: document["totals"].get(figure) for figure in expected}
        self.checks.that(found == expected, f"the report counts what was played: expected {expected}, found {found}")
        self.progress.done(f"yesterday's report reached {len(self.shown.report_emails)} people")

    def show(self, console: Console) -> None:
        """Print what came of it all."""
        names = {user_id: user.name for user_id, user in self.setup.users.items()}
        shown = self.shown
        showing.show(
            console,
            showing.panel(shown.panel, f"Inbox panel, as {names[AGENT]} sees it during the call"),
            showing.threads(shown.threads, f"{self.setup.inboxes[INBOX].name}: threads, most recent first", self.zone),
        )
        if shown.ring is not None:
            showing.show(console, showing.ring_plan(shown.ring, names))
        everything = self.stage.letters()
        showing.show(
            console,
            showing.emails([*shown.live_emails, *shown.report_emails], "E-mails of the live part", self.zone),
        )
        console.print(
            f"{len(everything)} e-mails in all (those about yesterday are less than 24 h old); read them in "
            f"{self.stage.mailbox}",
            markup=False,
        )
        if shown.report is not None:
            title = f"Daily activity of {self.setup.inboxes[INBOX].name} on {self.yesterday}"
            showing.show(console, showing.report(shown.report, title))

    async def keep_on(self) -> None:
        """Let calls and texts keep coming, and a stand-in answer and deliver, until cancelled."""
        kafka = self.stage.kafka
        publisher = Publisher(kafka, client_id="demo-traffic")
        await publisher.open()
        lines = [number for number, line in self.setup.lines.items() if line.inbox_id]
        account_id = self.setup.account.account_id
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(stand_in.serve(kafka, publisher, utc_now, "default", _unsaid))
                random = randomness(SEED, utc_now())
                tasks.create_task(keep_coming(account_id, lines, publisher, utc_now, new_id, random, _unsaid))
        finally:
            await publisher.close()

    def where_to_look(self, console: Console) -> None:
        """The console's address: what a newcomer opens."""
        if self.stage.console_url is not None:
            console.print("\nOpen it in a browser, and choose who you are:\n", style="bold")
            console.print(f"    {self.stage.console_url}\n", style="bold cyan", markup=False)

    def what_to_try(self, console: Console) -> None:
        """Curl lines that work as they stand, and the folder's env file for `inboxctl`."""
        urls = self.stage.public_urls
        agent, administrator = '-H "Authorization: Bearer $AGENT"', '-H "Authorization: Bearer $ADMIN"'
        text = f'{{"to": "{PRIYA.number}", "body": "Hello"}}'
        report = f"{urls['reporting']}/v1/inboxes/{INBOX}/reports/daily-activity?date={self.yesterday}"
        inboxctl = self.stage.inboxctl
        console.print("In another terminal:\n", style="bold")
        for line in (
            f"AGENT={self.token(AGENT)}",
            f"ADMIN={self.token(ADMINISTRATOR)}",
            f"curl -s {agent} {urls['inbox_state']}/v1/panel",
            f"curl -s {agent} '{urls['inbox_state']}/v1/inboxes/{INBOX}/threads?unread=true'",
            f"curl -s {administrator} {urls['routing']}/v1/inboxes/{INBOX}/ring-plan",
            f"curl -s {administrator} '{report}'",
            f"curl -s {agent} --json '{text}' {urls['inbox_state']}/v1/inboxes/{INBOX}/messages",
            f"{inboxctl} simulate --account {self.setup.account.account_id} --date today --live    # a busy day",
        ):
            console.print(line + "\n", markup=False)


@contextlib.asynccontextmanager
async def _listening(kafka: KafkaSettings, account_id: str, publisher: Publisher) -> AsyncIterator[Telephony]:
    """A telephony side that hears every command from now on: what was said of yesterday is over."""
    side = Telephony(account_id, publisher)
    consumer = AIOKafkaConsumer(
        TELEPHONY_COMMANDS.name, **kafka.connection(), enable_auto_commit=False, auto_offset_reset="latest"
    )
    await consumer.start()
    # Where it begins would be looked up with the first fetch only: a quick answer could come before that.
    await consumer.seek_to_end()
    for partition in consumer.assignment():
        await consumer.position(partition)

    async def hear() -> None:
        async for record in consumer:
            event = decode(record.value, record.headers, commands.EVENTS)
            if isinstance(event, Event) and event.account_id == account_id:
                side.heard.append(event.data)

    hearing = asyncio.create_task(hear())
    try:
        yield side
    finally:
        hearing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await hearing
        await consumer.stop()


def _essence(meant: Meant) -> tuple[str, str, str, str]:
    return (meant.kind, meant.status, meant.inbox_id, meant.contact_number)


def _essence_of_row(row: Mapping[str, Any]) -> tuple[str, str, str, str]:
    return (row["kind"], row["status"], row["inbox_id"], row["contact_number"])


def _threads_of(told: Day) -> Counter[tuple[str, str]]:
    counted: Counter[tuple[str, str]] = Counter()
    for meant in told.communications:
        thread = (meant.inbox_id, meant.contact_number)
        if meant.contact_number == "anonymous":
            counted[thread] += 1
        else:
            counted[thread] = 1
    return counted


def _emails_missing(found: Sequence[Letter], addresses: Collection[str]) -> list[tuple[str, str]]:
    return [
        (address, kind)
        for address in addresses
        for kind, caller in EXPECTED_EMAILS.items()
        if not any(
            address in letter.recipient and kind in letter.subject.lower() and letter.tells_of(caller.number)
            for letter in found
        )
    ]


def _figures(told: Day, inbox_id: str) -> dict[str, int]:
    """What yesterday's report must count in an inbox, by what the simulator meant."""
    played = [meant for meant in told.communications if meant.inbox_id == inbox_id]

    def how_many(kind: str, direction: str, *statuses: str) -> int:
        return sum(
            meant.kind == kind and meant.direction == direction and (not statuses or meant.status in statuses)
            for meant in played
        )

    return {
        "calls_inbound": how_many("call", "inbound"),
        "calls_outbound": how_many("call", "outbound"),
        "answered": how_many("call", "inbound", "completed"),
        "missed": how_many("call", "inbound", "missed"),
        "abandoned": how_many("call", "inbound", "abandoned"),
        "voicemails": how_many("call", "inbound", "voicemail"),
        "messages_inbound": how_many("message", "inbound"),
        "messages_outbound": how_many("message", "outbound"),
    }


def _unsaid(_what: str) -> None:
    """What the stand-in and the traffic would say: the console shows it."""


def _interrupted(_number: int, _frame: object) -> NoReturn:
    raise SystemExit(143)


def _elsewhere() -> Elsewhere:
    try:
        return Elsewhere(load(ElsewhereSettings), load(KafkaSettings))
    except httpx.HTTPError as error:
        raise SystemExit(f"MAIL_URL: {error}") from None


def _in_a_new_account(setup: SetupFile, stage: Stage) -> SetupFile:
    """The demo's account, under another id where its own is taken: what is there is left alone."""
    own = setup.account.account_id
    token = sign(
        stage.jwt_secret, user_id="demo", account_id=own, now=utc_now(), lasts=TOKEN_LASTS, scope=DIRECTORY_SCOPE
    )
    with Api(stage.urls, token) as api:
        taken = api.find("routing", "account") is not None
    return setup.for_account(f"{own}-{new_id()[-8:]}") if taken else setup


def play(stage: Stage, setup: SetupFile, progress: Progress) -> Demo:
    """Play all of it and note what was really there."""
    yesterday = utc_now().astimezone(ZoneInfo(setup.account.time_zone)).date() - timedelta(days=1)
    demo = Demo(stage, setup, progress, Checks(), yesterday)
    try:
        asyncio.run(demo.run())
    except (Refused, Unreachable) as error:
        demo.checks.that(False, str(error))
    return demo


def _tell(demo: Demo, console: Console, seconds: float) -> None:
    checks = demo.checks
    demo.show(console)
    console.print(
        f"\n{checks.count - len(checks.failures)} of {checks.count} checks hold after {seconds:.0f} s.", style="bold"
    )
    for failure in checks.failures:
        console.print(f"not so: {failure}", style="red", markup=False)


def main() -> None:
    """Run the demo. Exit code 0: everything was there; 1: something was not, and is named."""
    parser = argparse.ArgumentParser(prog="devstack.demo", description="The demo, on a stack of its own.")
    parser.add_argument(
        "--elsewhere", action="store_true", help="play on the installation that the environment names, and leave it up"
    )
    elsewhere: bool = parser.parse_args().elsewhere
    signal.signal(signal.SIGTERM, _interrupted)
    console = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else WIDTH_ELSEWHERE)
    stays = sys.stdin.isatty() and sys.stdout.isatty()
    began = time.monotonic()
    setup = parse(resources.files("devstack").joinpath("demo_account.yaml").read_text(encoding="utf-8"))
    with contextlib.ExitStack() as ending:
        with Progress(console) as progress:
            stage: Stage
            if elsewhere:
                stage = _elsewhere()
                setup = _in_a_new_account(setup, stage)
            else:
                # Only here: an image that holds the demo holds no embedded servers.
                from devstack.demo_stack import fresh_stage

                stage = ending.enter_context(fresh_stage(console, progress, setup.account.account_id))
            demo = play(stage, setup, progress)
        _tell(demo, console, time.monotonic() - began)
        if stays:
            demo.where_to_look(console)
        if elsewhere or stays:
            demo.what_to_try(console)
        if stays and not elsewhere:
            console.print("Calls and texts keep coming until Ctrl-C.", style="bold")
            with contextlib.suppress(KeyboardInterrupt):
                asyncio.run(demo.keep_on())
    raise SystemExit(1 if demo.checks.failures else 0)


if __name__ == "__main__":
    main()
