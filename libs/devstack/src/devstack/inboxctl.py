"""`inboxctl`: the command line of operators, administrators and everybody who tries things out."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Final, TypeVar
from zoneinfo import ZoneInfo

import typer
from aiokafka.errors import KafkaError
from pydantic import ValidationError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from contracts import rights
from contracts.topics import SERVICES, TELEPHONY_EVENTS
from devstack import dead_letters, recordings, stand_in
from devstack import doctor as doctoring
from devstack.api import Api, Refused, Unreachable
from devstack.applying import Applying
from devstack.dead_letters import Wanted
from devstack.differences import Comparison
from devstack.environment import Addresses, default_environment_file
from devstack.patience import PATIENCE_SECONDS, Patient
from devstack.reading import OtherAccount, read_setup, read_whole_setup
from devstack.setup_file import NotASetup, SetupFile, parse
from devstack.setup_text import written
from devstack.simulator import Day, Record, day, randomness
from service_kit.auth import DIRECTORY_SCOPE, sign
from service_kit.clock import utc_now
from service_kit.database import migrate as migrate_schema
from service_kit.publishing import Outgoing, Publisher
from service_kit.settings import KafkaSettings, UnreadableSetting, given
from service_kit.topics import create_topics, drift

FAILED: Final = 1
MISUSED: Final = 2
WIDE: Final = 1_000
PUBLISH_AT_ONCE: Final = 2_000
MACHINE: Final = "inboxctl"
REPUBLISHED: Final = ("communications", "directory")
AGO: Final = {"m": "minutes", "h": "hours", "d": "days"}
VERDICTS: Final = {"ok": "green", "advice": "yellow", "wrong": "red"}
COLOURS: Final = {"+": "green", "-": "red", "~": "yellow"}

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
SetupArgument = Annotated[str, typer.Argument(metavar="FILE", help="The set-up as YAML; - reads standard input.")]
OtherAccountOption = Annotated[
    str | None, typer.Option("--account", help="Another account than the file's: it becomes a copy.")
]
PruneOption = Annotated[
    bool,
    typer.Option(
        "--prune", help="Delete teams, inboxes, watchers and lines that the file does not have, deactivate such users."
    ),
]
PatienceOption = Annotated[float, typer.Option(help="Seconds to wait for services and their copies of the directory.")]


ServiceOption = Annotated[str | None, typer.Option(help="Only what this service could not process.")]
ReasonOption = Annotated[str | None, typer.Option(help="Only this reason.")]
SourceOption = Annotated[str | None, typer.Option(metavar="TOPIC", help="Only what came from this topic.")]
SinceOption = Annotated[
    str | None, typer.Option(metavar="TIME", help="Only what was put aside then or later: RFC 3339, or 2h, 3d (ago).")
]
UntilOption = Annotated[str | None, typer.Option(metavar="TIME", help="Only what was put aside before that.")]


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
    patience: Annotated[float, typer.Option(help="Seconds to wait for Kafka to answer.")] = 0,
) -> None:
    """Create the topics that are missing, dead-letter topics included. What exists is left as it is.

    Where an existing topic is not as the project has it (retention, largest record, partitions …), a line on
    standard error says so: data are at stake, so that it is yours to change.
    """
    made = _on_kafka(lambda: create_topics(_kafka(), partitions=partitions, replication=replication), patience=patience)
    for topic in made:
        out.print(f"{'created' if topic.created else 'exists '}  {topic.name}", markup=False)
    for difference in _on_kafka(lambda: drift(_kafka(), partitions=partitions, replication=replication)):
        err.print(f"differs  {difference}", markup=False)


class RightsForm(StrEnum):
    """How rights are written."""

    TABLE = "table"
    COMMANDS = "commands"
    MARKDOWN = "markdown"


@topics_commands.command("rights")
def topic_rights(
    form: Annotated[RightsForm, typer.Option("--as", help="commands: what to run with Kafka's own kafka-acls.")] = (
        RightsForm.TABLE
    ),
) -> None:
    """What each service, telephony systems and operators may do on Kafka: give their users this, and no more."""
    prefix = _kafka().topic_prefix
    match form:
        case RightsForm.COMMANDS:
            for command in rights.commands(prefix):
                out.print(command, markup=False)
        case RightsForm.MARKDOWN:
            out.print(rights.page(), markup=False, end="")
        case RightsForm.TABLE:
            shown = Table("user", "resource", "name", "operations", box=None)
            for one in rights.rights():
                name = f"{prefix}{one.name}{'…' if one.any_suffix else ''}"
                shown.add_row(one.user, one.resource, name, ", ".join(one.operations))
            out.print(shown)


@app.command()
def migrate(
    service: Annotated[list[str] | None, typer.Option(help=f"One of {', '.join(SERVICES)}. Default: all.")] = None,
) -> None:
    """Bring the services' database schemas up to date (ROUTING_DATABASE_URL and so on say where).

    Several may run at once: one works, the others wait for it and find nothing to do.
    """
    wanted = _services(service)
    dsns = {name: _given(f"{name.upper()}_DATABASE_URL") for name in wanted}
    for name, dsn in dsns.items():
        try:
            applied = migrate_schema(dsn, name)
        except Exception as error:
            # Whatever the driver or a migration raises, the operator needs the schema's name with it.
            raise Stopped(f"{name}: {type(error).__name__}: {error}") from error
        out.print(f"{name}: {', '.join(applied) if applied else 'up to date'}", markup=False)


@app.command()
def doctor(
    service: Annotated[
        list[str] | None, typer.Option(help=f"Only what this one needs: {', '.join(SERVICES)}. Default: all.")
    ] = None,
) -> None:
    """Check settings, broker, topics, databases, roles and mail server, and say what to do about what is wrong.

    Nothing is changed and no e-mail is sent. Exit code 0: nothing is wrong (a line may still advise); 1: something is.
    """
    wrong = 0
    for finding in doctoring.examine(_services(service)):
        wrong += finding.verdict == "wrong"
        out.print(Text(f"{finding.verdict:<6} {finding.what}", style=VERDICTS[finding.verdict]))
        if finding.advice:
            out.print(Text(f"       {finding.advice}"))
    raise typer.Exit(FAILED if wrong else 0)


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
    file: SetupArgument,
    account: OtherAccountOption = None,
    prune: PruneOption = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would change and change nothing, as `diff` does.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask on a terminal.")] = False,
    patience: PatienceOption = PATIENCE_SECONDS,
) -> None:
    """Bring an account to what a YAML file says. Doing it again changes nothing.

    What would change is shown first; on a terminal you are asked, in a pipe it goes on. What the file does not name
    is left alone, unless with --prune; a list of watchers is the whole list. Exit code 0: the account is as the file
    says; 1: it is not; 2: it was asked for wrongly. With --dry-run as `diff`.
    """
    if dry_run:
        raise typer.Exit(_show_difference(file, account, prune=prune, patience=patience))
    setup = _setup_of(file, account)
    with _api(setup.account.account_id) as api:
        applying = _prepared(setup, api, prune=prune, patience=patience)
        _show(applying.comparison)
        if applying.comparison.differences and not yes and sys.stdin.isatty() and out.is_terminal:
            if not typer.confirm(f"Change the account {setup.account.account_id} so?"):
                raise Stopped("nothing was changed")
            again = _prepared(setup, api, prune=prune, patience=patience)
            if again.comparison != applying.comparison:
                raise Stopped("somebody changed the account meanwhile: nothing was changed, look at it again")
        done: dict[str, int] = {}
        with _bar(disable=not err.is_terminal) as progress:
            task = progress.add_task("applying", total=applying.steps)
            try:
                for change in applying.carried_out():
                    done[change.how] = done.get(change.how, 0) + 1
                    if change.how != "unchanged":
                        progress.advance(task)
            except (Refused, Unreachable) as trouble:
                raise Stopped(f"{trouble}\nso far {_counted(done)}; apply it again when that is mended") from None
    out.print(f"{setup.account.account_id}: {_counted(done)}", markup=False)


@app.command()
def diff(
    file: SetupArgument,
    account: OtherAccountOption = None,
    prune: PruneOption = False,
    patience: PatienceOption = PATIENCE_SECONDS,
) -> None:
    """Show what `apply` would change, field by field. Exit code 0: nothing; 1: something; 2: it could not be told.

    `+` is new, `-` goes, `~` changes. A note names what only the account has, which `apply` leaves alone.
    """
    raise typer.Exit(_show_difference(file, account, prune=prune, patience=patience))


@app.command()
def export(
    account: Account,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write here, whole or not at all.")
    ] = None,
    patience: PatienceOption = PATIENCE_SECONDS,
) -> None:
    """Write the whole set-up of an account, over all services, as a YAML file that `apply` reads.

    Nothing that a person set is left out but presence, names of contacts, and each user's own preferences. Equal
    set-ups give equal files, so that two exports can be compared and kept under version control.
    """
    with _api(account) as api, _busy("reading the account"):
        try:
            setup = read_whole_setup(Patient(api, patience), account, to_the_last=True)
        except OtherAccount as other:
            raise Stopped(str(other), MISUSED) from None
    if setup is None:
        raise Stopped(f"there is no account {account}")
    text = written(setup)
    try:
        parse(text)
    except NotASetup as wrong:
        err.print(f"`apply` will not take this before it is mended:\n{wrong}", markup=False)
    if output is None or str(output) == "-":
        sys.stdout.write(text)
    else:
        _write_whole(output, text)


@app.command()
def republish(
    what: Annotated[str, typer.Argument(metavar="WHAT", help="`communications` or `directory`.")],
    since: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Only what last changed then or later: RFC 3339, or a date (UTC)."),
    ] = None,
    account: Annotated[str | None, typer.Option("--account", help="Only this account. Default: all.")] = None,
    after: Annotated[
        str | None, typer.Option(metavar="PLACE", help="Go on beyond the place that an earlier run printed.")
    ] = None,
) -> None:
    """Publish current snapshots again, so that a consumer can be rebuilt from nothing.

    An operator's command, like `migrate`: it reads routing's database (ROUTING_DATABASE_URL) and writes to
    communication-events or directory-events, while the services run or not. Consumers keep the highest version of
    everything, so it does no harm to run it at any time, or twice. No telephone rings, and no e-mail is sent for
    what is old. What is unrouted was never published, and is not. Interrupted, it prints how to go on.
    """
    if what not in REPUBLISHED:
        raise Stopped(f"WHAT is {' or '.join(REPUBLISHED)}, not {what}", MISUSED)
    _given("ROUTING_DATABASE_URL")
    options = {"--since": since, "--account": account, "--after": after}
    given = [f"{name}={value}" for name, value in options.items() if value is not None]
    # The work is routing's, and this package may not know any service. In our place, so that Ctrl-C and SIGTERM reach
    # it, and it can say how to go on.
    os.execv(sys.executable, [sys.executable, "-m", "routing.republishing", what, *given])


@app.command()
def rebuild(
    service: Annotated[str, typer.Argument(metavar="SERVICE", help="`inbox_state`.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask on a terminal.")] = False,
) -> None:
    """Empty what a service can derive again, and republish, so that it is filled anew.

    An operator's command: it needs INBOX_STATE_DATABASE_URL, ROUTING_DATABASE_URL and Kafka. What came over HTTP is
    kept: read marks, automations and their history, names, preferences, idempotency keys. Until it is filled again
    people see too little. No e-mail is sent, and no telephone rings.
    """
    if service != "inbox_state":
        raise Stopped(f"SERVICE is inbox_state, not {service}: the others by their offsets", MISUSED)
    _given("INBOX_STATE_DATABASE_URL")
    _given("ROUTING_DATABASE_URL")
    if not yes and not (sys.stdin.isatty() and typer.confirm("Empty inbox_state's threads and fill them again?")):
        raise Stopped("nothing was changed: say --yes", MISUSED)
    # The work is the services', and this package may not know any.
    for command in (
        ("inbox_state.rebuilding", "--yes"),
        ("routing.republishing", "directory"),
        ("routing.republishing", "communications"),
    ):
        ended = subprocess.run([sys.executable, "-m", *command], check=False)
        if ended.returncode:
            raise Stopped(f"{command[0]} did not end well; what is said above tells how to go on", ended.returncode)


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
    _on_kafka(lambda: _play(told.records, live=live))


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
    _on_kafka(lambda: _publish([recordings.outgoing(line) for line in read]))
    out.print(f"published {len(read)} events on {TELEPHONY_EVENTS.named(_kafka().topic_prefix)}")


@app.command()
def telephony(
    system: Annotated[str, typer.Option(help="Take the commands of lines of this telephony system.")] = "default",
) -> None:
    """Stand in for a telephony system: deliver texts, answer rings and placed calls, until Ctrl-C."""
    out.print(f"taking commands of the system {system}; Ctrl-C ends it", markup=False)
    _on_kafka(lambda: _stand_in(system))


@dlq_commands.command("list")
def dlq_list(
    service: ServiceOption = None,
    reason: ReasonOption = None,
    source: SourceOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    limit: Annotated[int, typer.Option(min=1, help="The newest so many.")] = 50,
) -> None:
    """List dead letters with reason and origin. Values are not shown: `dlq show` does that."""
    letters = _letters(_wanted((), service, reason, source, since, until))
    if letters:
        _show_letters(letters, limit)
    out.print(f"{len(letters)} dead letters" + (f", the newest {limit} shown" if len(letters) > limit else ""))


@dlq_commands.command("show")
def dlq_show(
    place: Annotated[str, typer.Argument(help="topic/partition/offset, as `dlq list` prints it.")],
) -> None:
    """Show one dead letter whole: headers and value."""
    letters = _letters(Wanted((place,)))
    if not letters:
        raise Stopped(f"there is no dead letter {place}")
    for name, value in letters[0].headers:
        text = "(null)" if value is None else value.decode(errors="backslashreplace")
        out.print(f"{name}: {text}", markup=False)
    out.print(f"key: {(letters[0].key or b'').decode(errors='backslashreplace')}\n", markup=False)
    out.print((letters[0].value or b"").decode(errors="backslashreplace"), markup=False)


@dlq_commands.command("replay")
def dlq_replay(
    place: Annotated[
        list[str] | None, typer.Argument(help="topic/partition/offset of each; none: all that match.")
    ] = None,
    service: ServiceOption = None,
    reason: ReasonOption = None,
    source: SourceOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show which, replay none.")] = False,
) -> None:
    """Put originals back on the topics they came from. Twice does no harm: consumers merge.

    A dead letter stays where it is until its 30 days are over, replayed or not.
    """
    wanted = _wanted(tuple(place or ()), service, reason, source, since, until)
    if wanted.everything:
        raise Stopped("say which: a place, --service, --reason, --source, --since or --until", MISUSED)
    letters = _letters(wanted)
    missing = set(wanted.places) - {letter.place for letter in letters}
    if missing:
        raise Stopped(f"there is no dead letter {', '.join(sorted(missing))}")
    if dry_run:
        if letters:
            _show_letters(letters, len(letters))
        out.print(f"{len(letters)} dead letters would be replayed")
        return
    replayed = _on_kafka(lambda: dead_letters.replay(_kafka(), letters))
    out.print(f"replayed {replayed} of {len(letters)} dead letters")


def _wanted(
    places: tuple[str, ...],
    service: str | None,
    reason: str | None,
    source: str | None,
    since: str | None,
    until: str | None,
) -> Wanted:
    if service is not None:
        _services([service])
    source_topic = None if source is None else _kafka().topic_prefix + source
    return Wanted(places, service, reason, source_topic, _instant("--since", since), _instant("--until", until))


def _show_letters(letters: Sequence[dead_letters.DeadLetter], limit: int) -> None:
    table = Table("place", "failed at", "reason", "detail", "from", box=None, pad_edge=False)
    for letter in sorted(letters, key=lambda letter: letter.failed_at)[-limit:]:
        origin = f"{letter.source_topic}/{letter.source_partition}/{letter.source_offset}"
        table.add_row(letter.place, letter.failed_at, letter.reason, letter.detail, origin)
    out.print(table)


def _letters(wanted: Wanted) -> list[dead_letters.DeadLetter]:
    settings = _kafka()
    topics = dead_letters.dead_letter_topics(settings.topic_prefix)
    return [letter for letter in _on_kafka(lambda: dead_letters.read(settings, topics)) if wanted.takes(letter)]


def _services(names: Sequence[str] | None) -> tuple[str, ...]:
    for name in names or ():
        if name not in SERVICES:
            raise Stopped(f"there is no service {name}; there are {', '.join(SERVICES)}", MISUSED)
    return tuple(names or SERVICES)


def _given(variable: str) -> str:
    try:
        value = given(variable)
    except UnreadableSetting as error:
        raise Stopped(str(error), MISUSED) from None
    if value is None:
        raise Stopped(f"{variable} is not set", MISUSED)
    return value


def _instant(option: str, text: str | None) -> datetime | None:
    """RFC 3339, a date, or how long ago (`2h`)."""
    if text is None:
        return None
    if text[-1:] in AGO and text[:-1].isascii() and text[:-1].isdigit() and len(text) < 8:
        return utc_now() - timedelta(**{AGO[text[-1]]: int(text[:-1])})
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise Stopped(
            f"{option} is a time (RFC 3339), a date, or how long ago, such as 2h; not {text}", MISUSED
        ) from None
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)


def _kafka() -> KafkaSettings:
    try:
        return KafkaSettings()
    except UnreadableSetting as error:
        raise Stopped(str(error), MISUSED) from None
    except ValidationError as error:
        raise Stopped(_wrong_settings(error), MISUSED) from None


def _addresses() -> Addresses:
    try:
        return Addresses()
    except UnreadableSetting as error:
        raise Stopped(str(error), MISUSED) from None
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


def _prepared(setup: SetupFile, api: Api, *, prune: bool, patience: float) -> Applying:
    with _busy("reading the account"):
        try:
            return Applying.prepared(setup, Patient(api, patience), prune=prune)
        except OtherAccount as other:
            raise Stopped(str(other), MISUSED) from None


def _show_difference(file: str, account: str | None, *, prune: bool, patience: float) -> int:
    try:
        setup = _setup_of(file, account)
        with _api(setup.account.account_id) as api:
            comparison = _prepared(setup, api, prune=prune, patience=patience).comparison
    except (Stopped, Refused, Unreachable) as trouble:
        raise Stopped(str(trouble), MISUSED) from None
    _show(comparison)
    return 1 if comparison.differences else 0


def _counted(done: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {how}" for how, count in done.items()) or "nothing"


def _show(comparison: Comparison) -> None:
    plain = not (sys.stdout.encoding or "").lower().startswith("utf")
    for difference in comparison.differences:
        for mark, text in difference.lines():
            out.print(Text(f"{mark} {text.replace('→', '->') if plain else text}", style=COLOURS[mark]))
    for what in comparison.left_alone:
        out.print(f"  not in the file, and left alone: {what}", markup=False)


def _write_whole(file: Path, text: str) -> None:
    try:
        if file.exists() and not file.is_file():
            # A pipe or a device is no file that another one could take the place of.
            file.write_text(text, encoding="utf-8")
            return
        file = file.resolve()
        beside = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
        try:
            beside.write_text(text, encoding="utf-8")
            if file.exists():
                beside.chmod(file.stat().st_mode & 0o777)
            beside.replace(file)
        finally:
            beside.unlink(missing_ok=True)
    except OSError as error:
        raise Stopped(f"{file}: {error.strerror}") from None


def _setup_of(file: str, account: str | None = None) -> SetupFile:
    with _opened(file) as text:
        content = text.read()
    try:
        setup = parse(content.decode())
        return setup if account is None else setup.for_account(account)
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


def _bar(*, disable: bool = False) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=err,
        disable=disable,
    )


@contextmanager
def _busy(what: str) -> Iterator[None]:
    if not err.is_terminal:
        yield
        return
    with err.status(what):
        yield


def _on_kafka(work: Callable[[], Coroutine[Any, Any, T]], *, patience: float = 0) -> T:
    until = time.monotonic() + patience
    while True:
        try:
            return asyncio.run(work())
        except (KafkaError, RuntimeError) as error:
            if time.monotonic() < until:
                time.sleep(1)
                continue
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
