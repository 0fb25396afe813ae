"""`inboxctl`: the command line of operators, administrators and everybody who tries things out."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Final, TypeVar
from zoneinfo import ZoneInfo

import typer
from aiokafka.errors import KafkaError
from pydantic import ValidationError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from contracts.topics import SERVICES, TELEPHONY_EVENTS
from devstack import dead_letters, recordings, stand_in
from devstack.api import Api, Refused, Unreachable
from devstack.applying import PATIENCE_SECONDS, apply, read_setup
from devstack.environment import Addresses, default_environment_file
from devstack.setup_file import NotASetup, SetupFile, parse
from devstack.simulator import Day, Record, day, randomness
from service_kit.auth import DIRECTORY_SCOPE, sign
from service_kit.clock import utc_now
from service_kit.database import migrate as migrate_schema
from service_kit.publishing import Outgoing, Publisher
from service_kit.settings import KafkaSettings
from service_kit.topics import create_topics

FAILED: Final = 1
MISUSED: Final = 2
WIDE: Final = 1_000
PUBLISH_AT_ONCE: Final = 2_000
MACHINE: Final = "inboxctl"

T = TypeVar("T")

app = typer.Typer(
    help=(
        "Set up and look after Connected Inbox.\n\n"
        "Kafka, the services and the secret are found through the environment (KAFKA_BOOTSTRAP_SERVERS, "
        "ROUTING_URL, JWT_SECRET …) and, for what it does not say, the file that `make up` writes."
    ),
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)
topics_commands = typer.Typer(help="The Kafka topics of the project.", no_args_is_help=True)
dlq_commands = typer.Typer(help="What consumers could not process, and why.", no_args_is_help=True)
app.add_typer(topics_commands, name="topics")
app.add_typer(dlq_commands, name="dlq")

# In a pipe nothing is cut to the width of a screen that is not there.
out = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else WIDE)
err = Console(stderr=True, highlight=False, soft_wrap=True)

Account = Annotated[str, typer.Option("--account", help="The account's id.")]


class Stopped(Exception):
    """What a command can't go on with; the message is what the person is told."""

    def __init__(self, message: str, code: int = FAILED) -> None:
        super().__init__(message)
        self.code = code


@app.callback()
def _connections(
    env_file: Annotated[
        Path | None,
        typer.Option("--env-file", help="KEY=value lines to add to the environment. Default: .devstack/env, if there."),
    ] = None,
) -> None:
    try:
        default_environment_file(env_file)
    except FileNotFoundError:
        raise Stopped(f"there is no file {env_file}", MISUSED) from None
    except ValueError as error:
        raise Stopped(str(error), MISUSED) from None


@topics_commands.command("create")
def create(
    partitions: Annotated[int, typer.Option(min=1, help="Partitions of each new topic.")] = 6,
    replication: Annotated[int, typer.Option(min=1, help="Replicas of each new topic.")] = 1,
) -> None:
    """Create the topics that are missing, dead-letter topics included. What exists is left as it is."""
    for topic in _on_kafka(create_topics(_kafka(), partitions=partitions, replication=replication)):
        out.print(f"{'created' if topic.created else 'exists '}  {topic.name}", markup=False)


@app.command()
def migrate(
    service: Annotated[list[str] | None, typer.Option(help=f"One of {', '.join(SERVICES)}. Default: all.")] = None,
) -> None:
    """Bring the services' database schemas up to date (ROUTING_DATABASE_URL and so on say where)."""
    wanted = service or list(SERVICES)
    for name in wanted:
        if name not in SERVICES:
            raise Stopped(f"there is no service {name}; there are {', '.join(SERVICES)}", MISUSED)
        if not os.environ.get(f"{name.upper()}_DATABASE_URL"):
            raise Stopped(f"{name.upper()}_DATABASE_URL is not set", MISUSED)
    for name in wanted:
        try:
            applied = migrate_schema(os.environ[f"{name.upper()}_DATABASE_URL"], name)
        except Exception as error:
            # Whatever the driver or a migration raises, the operator needs the schema's name with it.
            raise Stopped(f"{name}: {type(error).__name__}: {error}") from error
        out.print(f"{name}: {', '.join(applied) if applied else 'up to date'}", markup=False)


@app.command()
def token(
    account: Account,
    user: Annotated[str, typer.Option(help="The user's id (with --scope directory: any name).")],
    scope: Annotated[str, typer.Option(help="`directory` for a machine that administers; empty for people.")] = "",
    ttl: Annotated[str, typer.Option(help="How long it lasts: 90s, 30m, 12h, 7d.")] = "12h",
) -> None:
    """Print a token for HTTP calls, signed with JWT_SECRET (HS256: for development and tests)."""
    if scope not in ("", DIRECTORY_SCOPE):
        raise Stopped(f"--scope is empty or {DIRECTORY_SCOPE}, not {scope}", MISUSED)
    secret = _addresses().jwt_secret
    if secret is None:
        raise Stopped("JWT_SECRET is not set", MISUSED)
    signed = sign(
        secret.get_secret_value(),
        user_id=user,
        account_id=account,
        now=utc_now(),
        lasts=_duration(ttl),
        scope=scope,
    )
    sys.stdout.write(signed + "\n")


@app.command("apply")
def apply_file(
    file: Annotated[str, typer.Argument(metavar="FILE", help="The set-up as YAML; - reads standard input.")],
    patience: Annotated[
        float, typer.Option(help="Seconds to wait for services and their copies of the directory.")
    ] = PATIENCE_SECONDS,
) -> None:
    """Bring an account to what a YAML file says. Doing it again changes nothing."""
    setup = _setup_of(file)
    done: dict[str, int] = {}
    with _api(setup.account.account_id) as api:
        for change in apply(setup, api, patience):
            done[change.how] = done.get(change.how, 0) + 1
            if change.how != "unchanged":
                fields = f" ({', '.join(change.fields)})" if change.fields else ""
                out.print(f"{change.how:9} {change.what}{fields}", markup=False)
    out.print(f"{setup.account.account_id}: " + ", ".join(f"{count} {how}" for how, count in done.items()))


@app.command()
def simulate(
    account: Account,
    on: Annotated[
        str,
        typer.Option("--date", metavar="DATE", help="YYYY-MM-DD, `today` or `yesterday`, in the account's zone."),
    ] = "yesterday",
    events: Annotated[int, typer.Option(min=1, help="About how many events the day has.")] = 800,
    seed: Annotated[str, typer.Option(help="The same seed, date and set-up give the same events.")] = "1",
    live: Annotated[
        bool, typer.Option("--live", help="Only today: what lies behind at once, the rest as its time comes.")
    ] = False,
    file: Annotated[
        str | None,
        typer.Option(help="Take lines and users from this set-up file, not from the routing service."),
    ] = None,
    to: Annotated[Path | None, typer.Option(help="Write JSON lines for `publish` here instead of publishing.")] = None,
) -> None:
    """Play a believable day of calls and texts on the account's lines."""
    if file:
        setup = _setup_of(file)
        if setup.account.account_id != account:
            raise Stopped(f"{file} is the set-up of {setup.account.account_id}, not of {account}", MISUSED)
    else:
        with _api(account) as api:
            setup = read_setup(api, account)
    zone = ZoneInfo(setup.account.time_zone)
    played_on = _date(on, zone)
    if live and played_on != utc_now().astimezone(zone).date():
        raise Stopped("--live plays today: give --date today", MISUSED)
    try:
        told = day(setup.for_simulation(), played_on, zone, randomness(account, played_on, seed), events)
    except ValueError as error:
        raise Stopped(str(error)) from None
    _say_what_is_played(told, played_on)
    if to:
        with to.open("wb") as lines:
            lines.writelines(recordings.as_line(record) for record in told.records)
        return
    _on_kafka(_play(told.records, live=live))


@app.command()
def publish(
    file: Annotated[str, typer.Argument(metavar="FILE", help="One CloudEvent (JSON) a line; - reads standard input.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check every line, publish nothing.")] = False,
) -> None:
    """Put recorded CloudEvents on telephony-events, in structured mode, keyed by call or message id.

    Every line is checked before the first is published.
    """
    try:
        with _opened(file) as lines:
            read = list(recordings.read(lines))
    except recordings.BadLine as error:
        raise Stopped(f"{file}: {error}") from None
    unknown = [line for line in read if line.event is None]
    if unknown:
        err.print(f"{len(unknown)} lines are of types that consumers skip, the first is line {unknown[0].number}")
    if dry_run:
        out.print(f"{len(read)} events are in order; nothing was published")
        return
    _on_kafka(_publish([recordings.outgoing(line) for line in read]))
    out.print(f"published {len(read)} events on {TELEPHONY_EVENTS.named(_kafka().topic_prefix)}")


@app.command()
def telephony(
    system: Annotated[str, typer.Option(help="Take the commands of lines of this telephony system.")] = "default",
) -> None:
    """Stand in for a telephony system: deliver texts, answer rings and placed calls, until Ctrl-C."""
    out.print(f"taking commands of the system {system}; Ctrl-C ends it", markup=False)
    _on_kafka(_stand_in(system))


@dlq_commands.command("list")
def dlq_list(
    service: Annotated[str | None, typer.Option(help="Only what this service could not process.")] = None,
    reason: Annotated[str | None, typer.Option(help="Only this reason.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="The newest so many.")] = 50,
) -> None:
    """List dead letters with reason and origin. Values are not shown: `dlq show` does that."""
    letters = _letters(service, reason)
    table = Table("place", "failed at", "reason", "detail", "from", box=None, pad_edge=False)
    for letter in sorted(letters, key=lambda letter: letter.failed_at)[-limit:]:
        origin = f"{letter.source_topic}/{letter.source_partition}/{letter.source_offset}"
        table.add_row(letter.place, letter.failed_at, letter.reason, letter.detail, origin)
    if letters:
        out.print(table)
    out.print(f"{len(letters)} dead letters")


@dlq_commands.command("show")
def dlq_show(
    place: Annotated[str, typer.Argument(help="topic/partition/offset, as `dlq list` prints it.")],
) -> None:
    """Show one dead letter whole: headers and value."""
    letter = next((found for found in _letters(None, None) if found.place == place), None)
    if letter is None:
        raise Stopped(f"there is no dead letter {place}")
    for name, value in letter.headers:
        text = "(null)" if value is None else value.decode(errors="backslashreplace")
        out.print(f"{name}: {text}", markup=False)
    out.print(f"key: {(letter.key or b'').decode(errors='backslashreplace')}\n", markup=False)
    out.print((letter.value or b"").decode(errors="backslashreplace"), markup=False)


@dlq_commands.command("replay")
def dlq_replay(
    place: Annotated[
        list[str] | None, typer.Argument(help="topic/partition/offset of each; none: all that match.")
    ] = None,
    service: Annotated[str | None, typer.Option(help="Only what this service could not process.")] = None,
    reason: Annotated[str | None, typer.Option(help="Only this reason.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say how many, replay none.")] = False,
) -> None:
    """Put originals back on the topics they came from. Twice does no harm: consumers merge."""
    if not (place or service or reason):
        raise Stopped("say which: a place, --service or --reason", MISUSED)
    letters = [letter for letter in _letters(service, reason) if not place or letter.place in place]
    missing = set(place or ()) - {letter.place for letter in letters}
    if missing:
        raise Stopped(f"there is no dead letter {', '.join(sorted(missing))}")
    if dry_run:
        out.print(f"{len(letters)} dead letters would be replayed")
        return
    out.print(f"replayed {_on_kafka(dead_letters.replay(_kafka(), letters))} of {len(letters)} dead letters")


def _kafka() -> KafkaSettings:
    try:
        return KafkaSettings()
    except ValidationError as error:
        raise Stopped(_wrong_settings(error), MISUSED) from None


def _addresses() -> Addresses:
    try:
        return Addresses()
    except ValidationError as error:
        raise Stopped(_wrong_settings(error), MISUSED) from None


def _wrong_settings(error: ValidationError) -> str:
    return "\n".join(
        f"{'.'.join(str(part) for part in problem['loc']).upper()}: {problem['msg']}"
        for problem in error.errors(include_input=False, include_url=False)
    )


def _api(account_id: str) -> Api:
    addresses = _addresses()
    if addresses.inboxctl_token is not None:
        bearer = addresses.inboxctl_token.get_secret_value()
    elif addresses.jwt_secret is not None:
        bearer = sign(
            addresses.jwt_secret.get_secret_value(),
            user_id=MACHINE,
            account_id=account_id,
            now=utc_now(),
            lasts=timedelta(hours=1),
            scope=DIRECTORY_SCOPE,
        )
    else:
        raise Stopped(
            "set JWT_SECRET, or INBOXCTL_TOKEN to a token with the scope `directory`; is the stack up?",
            MISUSED,
        )
    return Api({service: addresses.url_of(service) for service in SERVICES}, bearer)


def _setup_of(file: str) -> SetupFile:
    with _opened(file) as text:
        content = text.read()
    try:
        return parse(content.decode())
    except NotASetup as error:
        raise Stopped(f"{file}:\n{error}") from None
    except UnicodeDecodeError:
        raise Stopped(f"{file} is not UTF-8") from None


@contextmanager
def _opened(file: str) -> Iterator[BinaryIO]:
    if file == "-":
        yield sys.stdin.buffer
        return
    try:
        with Path(file).open("rb") as opened:
            yield opened
    except OSError as error:
        raise Stopped(f"{file}: {error.strerror}", MISUSED) from None


def _date(text: str, zone: ZoneInfo) -> date:
    today = utc_now().astimezone(zone).date()
    try:
        return {"today": today, "yesterday": today - timedelta(days=1)}.get(text) or date.fromisoformat(text)
    except ValueError:
        raise Stopped(f"--date is YYYY-MM-DD, today or yesterday, not {text}", MISUSED) from None


def _duration(text: str) -> timedelta:
    units = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
    if text[-1:] in units and text[:-1].isascii() and text[:-1].isdigit() and 0 < int(text[:-1]) < 10**7:
        return timedelta(**{units[text[-1]]: int(text[:-1])})
    raise Stopped(f"--ttl is a number with s, m, h or d, such as 12h; not {text}", MISUSED)


def _say_what_is_played(told: Day, on: date) -> None:
    calls = sum(communication.kind == "call" for communication in told.communications)
    out.print(f"{on}: {len(told.records)} events, {calls} calls and {len(told.communications) - calls} texts")


def _letters(service: str | None, reason: str | None) -> list[dead_letters.DeadLetter]:
    if service is not None and service not in SERVICES:
        raise Stopped(f"there is no service {service}; there are {', '.join(SERVICES)}", MISUSED)
    settings = _kafka()
    everything = _on_kafka(dead_letters.read(settings, dead_letters.dead_letter_topics(settings.topic_prefix)))
    return [letter for letter in everything if service in (None, letter.consumer) and reason in (None, letter.reason)]


async def _publish(records: Sequence[Outgoing]) -> None:
    publisher = Publisher(_kafka(), client_id=MACHINE)
    await publisher.open()
    try:
        with _bar() as progress:
            task = progress.add_task("publishing", total=len(records))
            for start in range(0, len(records), PUBLISH_AT_ONCE):
                some = records[start : start + PUBLISH_AT_ONCE]
                await publisher.publish(some)
                progress.advance(task, len(some))
    finally:
        await publisher.close()


async def _play(records: Sequence[Record], *, live: bool) -> None:
    outgoings = [
        (record.delivered_at, Outgoing(TELEPHONY_EVENTS.name, record.key, record.value, record.headers))
        for record in records
    ]
    if not live:
        await _publish([outgoing for _, outgoing in outgoings])
        return
    now = utc_now()
    await _publish([outgoing for delivered_at, outgoing in outgoings if delivered_at <= now])
    await _pace([(at, outgoing) for at, outgoing in outgoings if at > now])


async def _pace(upcoming: Sequence[tuple[datetime, Outgoing]]) -> None:
    publisher = Publisher(_kafka(), client_id=MACHINE)
    await publisher.open()
    try:
        with _bar() as progress:
            task = progress.add_task("live, Ctrl-C ends it", total=len(upcoming))
            for at, outgoing in upcoming:
                await asyncio.sleep(max(0.0, (at - utc_now()).total_seconds()))
                await publisher.publish([outgoing])
                progress.advance(task)
    finally:
        await publisher.close()


async def _stand_in(system: str) -> None:
    settings = _kafka()
    publisher = Publisher(settings, client_id=MACHINE)
    await publisher.open()
    try:
        await stand_in.serve(settings, publisher, utc_now, system, lambda text: out.print(text, markup=False))
    finally:
        await publisher.close()


def _bar() -> Progress:
    return Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=err
    )


def _on_kafka(work: Coroutine[Any, Any, T]) -> T:
    try:
        return asyncio.run(work)
    except KafkaError as error:
        servers = _kafka().kafka_bootstrap_servers
        raise Stopped(f"Kafka at {servers}: {type(error).__name__}: {error}") from None


def main() -> None:
    """Run the command line; every failure is a sentence on standard error and an exit code.

    1: it could not be done; 2: it was asked for wrongly; 130: Ctrl-C.
    """
    # What its loggers say while Kafka is away, our own sentence says once.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    try:
        app()
    except Stopped as stopped:
        err.print(str(stopped), markup=False)
        raise SystemExit(stopped.code) from None
    except (Refused, Unreachable) as error:
        err.print(str(error), markup=False)
        raise SystemExit(FAILED) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None


if __name__ == "__main__":
    main()
