"""The consumer of every service: batches, at least once, nothing skipped (architecture §2 and §4).

By portion: decode each record on its own; hand the good ones to the service, which loads, decides and saves in
one transaction; publish what follows and the dead letters, and wait for every acknowledgement. A large portion does
this in a few groups of keys side by side, and while more is at hand the next portion is read and decoded meanwhile.
What was read in about a second is a batch: only when all of it is done are its offsets committed. Built on
FastStream's batch subscriber.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import chain, groupby
from typing import Any, Final, Generic, TypeVar
from zlib import crc32

import structlog
from aiokafka import ConsumerRebalanceListener, ConsumerRecord, TopicPartition
from aiokafka.errors import ConsumerStoppedError, KafkaError
from faststream import AckPolicy
from faststream._internal.endpoint.subscriber.utils import MultiLock
from faststream.exceptions import NackMessage
from faststream.kafka import KafkaBroker
from faststream.kafka.message import KafkaAckableMessage
from pydantic import BaseModel

from contracts.catalogue import MODELS
from contracts.envelope import Event, Poison, Reason, UnknownEvent, decode, traceparent_of
from contracts.topics import Topic, dead_letter_topic
from service_kit import tracing
from service_kit.clock import Clock
from service_kit.database import is_transient, refuses_data
from service_kit.metrics import (
    CONSUMER_BATCH_SECONDS,
    CONSUMER_LAG,
    CONSUMER_LAG_AGE,
    CONSUMER_PROGRESS_AGE,
    CONSUMER_RECORDS,
    CONSUMER_RETRIES,
    CONSUMER_STOPPED,
    DEAD_LETTERS,
    UNKNOWN_EVENTS,
)
from service_kit.publishing import Outgoing, Publisher
from service_kit.settings import ServiceSettings

log = structlog.get_logger()

D = TypeVar("D", bound=BaseModel)

Records = Sequence[ConsumerRecord[Any, Any]]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MEASURE_EVERY: Final = 5.0
_LONGEST_PAUSE: Final = 30.0
_WINDOW: Final = 1_000
_GROUPS: Final = 3
_GROUP: Final = 250
"""A portion is worked through in three groups side by side, of 250 records at least: one computes while others wait for
Postgres. More groups have more transactions, and find less that falls together."""
_FIRST: Final = 500
"""So many records are in a batch's first portion at most: FastStream holds them until the whole batch is done."""
_LONGEST_READING: Final = 1.0
"""For so many seconds a batch may take in more portions: its offsets wait, and a peer that joins waits for its end."""
_FEW: Final = 50
_LONGEST_REST: Final = 0.05
"""After a batch of few records comes a rest as long as it took: most of what it cost is the same for one record as for
fifty, so on a busy machine fewer and larger batches are sooner done. What comes after a silence does not wait."""
_STEP: Final = 100
"""So many records are decoded before whatever else waits for its turn has it."""


@dataclass(slots=True)
class Received(Generic[D]):
    """One decoded record. `appended_at` is the broker's time: when the event reached us."""

    event: Event[D]
    appended_at: datetime
    topic: str
    partition: int
    offset: int
    key: bytes | None = None


@dataclass(slots=True)
class Rejected:
    """A decoded record that breaks a rule which only the service can know."""

    received: Received[Any]
    reason: Reason
    detail: str


@dataclass(slots=True)
class Outcome:
    """What follows from a batch that is saved: records to publish, and records that go to the dead letters.

    `acknowledged` are called once the broker has taken everything in `publish`.
    """

    publish: Sequence[Outgoing] = ()
    rejected: Sequence[Rejected] = ()
    acknowledged: Sequence[Callable[[], None]] = ()


Handle = Callable[[Sequence[Received[Any]]], Awaitable[Outcome]]


@dataclass(frozen=True, slots=True)
class Handling:
    """How a service handles a topic: the event types it knows, and the function that takes a batch of them.

    `handle` saves in one transaction and may be called again with the same records, with some of them, or
    with records that another replica handles too.

    `condense` says what `handle` needs of an event; it takes the place of its data as soon as the event is decoded, so
    that a batch need not hold thousands of models. It must not fail for data that its model holds.
    """

    events: Mapping[str, type[BaseModel]]
    handle: Handle
    max_value_bytes: int | None = None
    condense: Callable[[Event[Any]], Any] | None = None


Partition = tuple[str, int]
Progress = Callable[[Mapping[Partition, datetime]], Awaitable[None]]
"""Is told through which time each partition (topic without prefix, number) has been read and committed.

A partition that is known to lag is told with 1970: what was told of it before holds.
"""


class DeadLetterLimit:
    """Notices when so much is poison that the fault must be ours: a bad deploy, not bad records."""

    def __init__(self, in_a_row: int, of_last_thousand: int) -> None:
        self._in_a_row = in_a_row
        self._of_last_thousand = of_last_thousand
        self._row = 0
        self._window: deque[bool] = deque(maxlen=_WINDOW)

    def reached_by(self, verdicts: Sequence[bool]) -> bool:
        """Whether these verdicts (True: poison), after those counted so far, go over the limit."""
        row, window, bad = (
            self._row,
            deque(self._window, maxlen=_WINDOW),
            sum(self._window),
        )
        for poison in verdicts:
            if len(window) == _WINDOW:
                bad -= window[0]
            window.append(poison)
            bad += poison
            row = row + 1 if poison else 0
            if row >= self._in_a_row or bad > self._of_last_thousand:
                return True
        return False

    def count(self, verdicts: Sequence[bool]) -> None:
        """Remember the verdicts of a batch that is done."""
        for poison in verdicts[-_WINDOW:]:
            self._window.append(poison)
            self._row = self._row + 1 if poison else 0


@dataclass(slots=True)
class _DeadLetter:
    record: ConsumerRecord[Any, Any]
    reason: Reason
    detail: str
    traceparent: str | None = None


@dataclass(slots=True)
class _Batch:
    """What is committed together, as far as it is read: `unfinished` are its portions, oldest first.

    `newest` are the times, in ms, of the last record of each (topic, partition).
    """

    began: float = field(default_factory=time.perf_counter)
    unfinished: deque[Records] = field(default_factory=deque)
    more_waits: bool = True
    newest: dict[tuple[str, int], int] = field(default_factory=dict)
    by_topic: Counter[str] = field(default_factory=Counter)

    def take_in(self, records: Records, *, at_most: int) -> None:
        """One more portion was read, of `at_most` so many records."""
        self.unfinished.append(records)
        self.more_waits = len(records) >= at_most
        self.by_topic.update(record.topic for record in records)
        # Records of a partition come in the order of their append times.
        self.newest |= {(record.topic, record.partition): record.timestamp for record in records}


@dataclass(slots=True)
class _Portion:
    """Records at work: `last` are the groups of the last of their topics, which what comes next has to wait for."""

    records: Records
    groups: list[asyncio.Task[list[_DeadLetter]]]
    last: list[asyncio.Task[list[_DeadLetter]]]
    last_topic: str


class _LimitReached(Exception):
    """More poison than the limit allows."""


class Consumer(ConsumerRebalanceListener):  # type: ignore[misc] # aiokafka is not typed
    """One member of the service's consumer group, over all the topics that the service handles.

    A portion is split by topic and handled in the order of `handlers`, so that what authorises (the directory)
    comes first. What is transient is tried again for as long as it takes, without leaving the group.
    """

    def __init__(
        self,
        settings: ServiceSettings,
        *,
        service: str,
        publisher: Publisher,
        clock: Clock,
        handlers: Mapping[Topic, Handling],
        progress: Progress | None = None,
    ) -> None:
        self._service = service
        self._publisher = publisher
        self._clock = clock
        self._prefix = settings.topic_prefix
        self._handlers = {topic.named(self._prefix): (topic, handling) for topic, handling in handlers.items()}
        self._progress = progress
        self._attempt_seconds = settings.batch_timeout_seconds
        self._drain_seconds = settings.drain_seconds
        self._limit = DeadLetterLimit(settings.dead_letters_in_a_row, settings.dead_letters_of_last_thousand)
        self._random = random.Random()
        self._at_once = settings.batch_max_records
        self._at_first = min(self._at_once, _FIRST)
        self._decoding = asyncio.Lock()
        self._letting_go = asyncio.Event()
        self._stopping = False
        self._attempt: asyncio.Timeout | None = None
        self._healthy = True
        self._over_limit = False
        self._progressed_at = time.monotonic()
        self._measuring: asyncio.Task[None] | None = None
        self._read_through: dict[TopicPartition, datetime] = {}
        self.broker = KafkaBroker(
            settings.kafka_bootstrap_servers,
            consumer_only=True,
            allow_auto_create_topics=False,
            apply_types=False,
            client_id=service,
            request_timeout_ms=15_000,
            metadata_max_age_ms=30_000,
            graceful_timeout=self._drain_seconds,
            security=settings.faststream_security(),
            logger=None,
        )
        self.subscriber = self.broker.subscriber(
            *self._handlers,
            group_id=self._prefix + service,
            batch=True,
            max_records=self._at_first,
            batch_timeout_ms=20,
            # aiokafka has one fetch at a time open with a broker, without the partitions whose records are still at
            # hand: what comes there meanwhile waits until that fetch ends.
            fetch_max_wait_ms=100,
            ack_policy=AckPolicy.NACK_ON_ERROR,
            auto_offset_reset="earliest",
            parser=self._wrap,
            decoder=self._unwrap,
            listener=self,
            max_poll_interval_ms=2**31 - 1,
            session_timeout_ms=settings.session_timeout_ms,
            heartbeat_interval_ms=settings.heartbeat_interval_ms,
            rebalance_timeout_ms=int(self._drain_seconds * 2_000),
        )
        self.subscriber(self._consume)
        CONSUMER_STOPPED.labels(service=service).set(0)
        # From 0 on: a counter that appears with its first count shows no increase to whoever watches it.
        for reason in Reason:
            DEAD_LETTERS.labels(service=service, reason=str(reason))
        CONSUMER_PROGRESS_AGE.labels(service=service).set_function(lambda: time.monotonic() - self._progressed_at)

    async def start(self) -> None:
        """Join the group; raises when no broker answers or a topic is missing."""
        await self.broker.start()
        self._measuring = asyncio.create_task(self._measure(), name="consumer-measures")

    async def stop(self) -> None:
        """Finish or give up the running batch, leave the group; within a bounded time."""
        self._stopping = True
        self._let_go()
        if self._measuring is not None:
            self._measuring.cancel()
        try:
            async with asyncio.timeout(self._drain_seconds + 10):
                await self.broker.stop()
        except TimeoutError:
            log.warning("consumer_stop_timed_out")

    @property
    def alive(self) -> bool:
        """False when only a restart can help: a task of the client or of the subscriber has died."""
        consumer = self.subscriber.consumer
        if consumer is None:
            return not self._stopping
        tasks = [*self.subscriber.tasks]
        # aiokafka has no public word for this; a test holds these names to the version that is locked.
        coordinator = getattr(consumer._coordinator, "_coordination_task", None)  # noqa: SLF001 - not public
        fetcher = getattr(consumer._fetcher, "_fetch_task", None)  # noqa: SLF001 - not public
        return not any(task.done() for task in (*tasks, coordinator, fetcher) if task is not None)

    @property
    def ready(self) -> bool:
        """Whether the last attempt went well and the consumer has not stopped at its dead-letter limit."""
        return self.alive and self._healthy and not self._over_limit

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        """Drain: let go of partitions only when the running batch is committed or given up."""
        if not revoked:
            return
        self._let_go()
        running = self.subscriber.lock
        if isinstance(running, MultiLock):
            await running.wait_release(self._drain_seconds + 5)

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        """Work again."""
        if not self._stopping:
            self._letting_go.clear()
        log.info("partitions_assigned", partitions=len(assigned))

    async def _wrap(self, records: tuple[ConsumerRecord[Any, Any], ...]) -> KafkaAckableMessage:
        # FastStream's own parser decodes every header and loses the batch at the first that is not UTF-8.
        return KafkaAckableMessage(body=b"", raw_message=records, consumer=self.subscriber.consumer)

    async def _unwrap(self, message: KafkaAckableMessage) -> Any:
        return message.raw_message

    async def _consume(self, records: tuple[ConsumerRecord[Any, Any], ...]) -> None:
        batch = _Batch()
        batch.take_in(records, at_most=self._at_first)
        await self._until_done(batch)
        self._healthy = True
        await self._tell_progress(batch.newest)
        took = time.perf_counter() - batch.began
        CONSUMER_BATCH_SECONDS.labels(service=self._service).observe(took)
        for topic, count in batch.by_topic.items():
            name = self._handlers[topic][0].name
            CONSUMER_RECORDS.labels(service=self._service, topic=name).inc(count)
        if batch.by_topic.total() < _FEW:
            await self._pause(min(took, _LONGEST_REST))

    async def _until_done(self, batch: _Batch) -> None:
        """Work through a batch, again and again while what it needs is away; NackMessage where it is given up.

        It is given up only with its partitions: whoever has them next begins behind what is committed.
        """
        pause = 0.1
        while True:
            try:
                async with asyncio.timeout(self._attempt_seconds) as self._attempt:
                    if self._letting_go.is_set():
                        self._shorten()
                    await self._work(batch)
                return
            except _LimitReached:
                await self._stand_still()
                raise NackMessage from None
            except Exception as error:
                if not (isinstance(error, KafkaError) or is_transient(error)):
                    log.exception("batch_failed")
                self._healthy = False
                CONSUMER_RETRIES.labels(service=self._service).inc()
                log.warning(
                    "batch_will_be_tried_again",
                    error=type(error).__name__,
                    records=sum(map(len, batch.unfinished)),
                )
            finally:
                self._attempt = None
                self._progressed_at = time.monotonic()
            await self._pause(pause * self._random.uniform(0.5, 1.0))
            pause = min(pause * 2, _LONGEST_PAUSE)
            if self._letting_go.is_set():
                raise NackMessage

    async def _work(self, batch: _Batch) -> None:
        """Work through what a batch holds; while one portion is at work, the next is read and decoded."""
        waiting = deque(batch.unfinished)
        at_work: deque[_Portion] = deque()
        try:
            while True:
                records = waiting.popleft() if waiting else await self._read_on(batch)
                if records:
                    at_work.append(self._begin(records, after=at_work[-1] if at_work else None))
                elif not at_work:
                    return
                if len(at_work) > 1 or not records:
                    await self._finish(at_work.popleft())
                    batch.unfinished.popleft()
        except asyncio.CancelledError:
            for group in chain.from_iterable(portion.groups for portion in at_work):
                group.cancel()
            raise
        finally:
            # No group may still be at work when its records are tried again.
            await asyncio.gather(*chain.from_iterable(portion.groups for portion in at_work), return_exceptions=True)

    async def _read_on(self, batch: _Batch) -> Records:
        """The next portion, where one is at hand and the batch may have more; nothing where it should be committed."""
        consumer = self.subscriber.consumer
        if consumer is None or not batch.more_waits:
            return ()
        # While partitions are let go aiokafka has no answer until they are given out again, for which it waits for us.
        if self._letting_go.is_set() or time.perf_counter() - batch.began > _LONGEST_READING:
            return ()
        try:
            # Without a time to wait for records it can't be interrupted between taking and giving them.
            read = await consumer.getmany(max_records=self._at_once)
        except (KafkaError, ConsumerStoppedError):
            # Whoever reads the next batch meets it again, and has nothing in hand.
            return ()
        records = tuple(chain.from_iterable(read.values()))
        if records:
            batch.take_in(records, at_most=self._at_once)
        return records

    def _begin(self, records: Records, *, after: _Portion | None) -> _Portion:
        """Set the groups of a portion to work, each behind the groups before it that may hold records of its keys."""
        by_topic = {name: list(group) for name, group in groupby(sorted(records, key=_topic), key=_topic)}
        portion = _Portion(records, [], after.last if after else [], after.last_topic if after else "")
        for name, (topic, handling) in self._handlers.items():
            if name not in by_topic:
                continue
            groups = split_by_key(by_topic[name])
            alike = name == portion.last_topic and len(groups) == len(portion.last)
            portion.last = [
                asyncio.create_task(
                    self._work_group(topic, handling, group, portion.last[index : index + 1] if alike else portion.last)
                )
                for index, group in enumerate(groups)
            ]
            portion.last_topic = name
            portion.groups += portion.last
        return portion

    async def _finish(self, portion: _Portion) -> None:
        """Wait until all groups of a portion are done, and bury its dead letters; raises what a group failed with."""
        settled = await asyncio.gather(*portion.groups, return_exceptions=True)
        dead: list[_DeadLetter] = []
        for result in settled:
            # Raised only now: no group may still be at work when the portion is tried again.
            if isinstance(result, BaseException):
                raise result
            dead.extend(result)
        if dead:
            await self._bury(dead, portion.records)
        else:
            self._limit.count([False] * len(portion.records))

    async def _work_group(
        self,
        topic: Topic,
        handling: Handling,
        records: Records,
        after: Sequence[asyncio.Task[list[_DeadLetter]]],
    ) -> list[_DeadLetter]:
        received: list[Received[Any]] = []
        dead: list[_DeadLetter] = []
        # One group after another, and each in small steps: the one before goes on as soon as Postgres has answered it.
        async with self._decoding:
            for start in range(0, len(records), _STEP):
                self._decode(topic, handling, records[start : start + _STEP], received, dead)
                await asyncio.sleep(0)
        if after:
            await asyncio.wait(after)
            for group in after:
                group.result()
        if not received:
            return dead
        spans = tracing.records(topic, self._service, received, self._clock())
        try:
            outcome = await self._handle(handling, received)
            await self._publisher.publish(outcome.publish)
        except BaseException as error:
            for span in spans:
                span.failed(type(error).__name__)
            raise
        finally:
            for span in spans:
                span.end()
        for told in outcome.acknowledged:
            told()
        if outcome.rejected:
            origin = {(record.partition, record.offset): record for record in records}
            dead.extend(
                _DeadLetter(
                    origin[r.received.partition, r.received.offset], r.reason, r.detail, r.received.event.traceparent
                )
                for r in outcome.rejected
            )
        return dead

    def _decode(
        self,
        topic: Topic,
        handling: Handling,
        records: Records,
        received: list[Received[Any]],
        dead: list[_DeadLetter],
    ) -> None:
        condense = handling.condense
        appended: dict[int, datetime] = {}
        for record in records:
            milliseconds = record.timestamp
            at = appended.get(milliseconds)
            if at is None:
                at = appended[milliseconds] = _EPOCH + timedelta(milliseconds=milliseconds)
            try:
                event = decode(record.value, record.headers, handling.events, at, handling.max_value_bytes)
            except Poison as poison:
                dead.append(_DeadLetter(record, poison.reason, poison.detail))
                continue
            if isinstance(event, UnknownEvent):
                # A type of the contract that this service has no use for is no news to anybody.
                if event.type not in MODELS:
                    UNKNOWN_EVENTS.labels(service=self._service).inc()
                continue
            if condense is not None:
                event.data, event.json = condense(event), None
            received.append(Received(event, at, topic.name, record.partition, record.offset, record.key))

    async def _bury(self, dead: list[_DeadLetter], records: Records) -> None:
        """Publish dead letters in the order of their records, unless there are too many to believe in."""
        dead.sort(key=lambda letter: _origin(letter.record))
        letters = {_origin(letter.record) for letter in dead}
        verdicts = [_origin(record) in letters for record in records]
        if self._limit.reached_by(verdicts):
            raise _LimitReached
        await self._publisher.publish([self._dead_letter(letter) for letter in dead])
        self._limit.count(verdicts)
        for letter in dead:
            DEAD_LETTERS.labels(service=self._service, reason=str(letter.reason)).inc()
            log.warning(
                "dead_lettered",
                reason=str(letter.reason),
                detail=letter.detail,
                topic=letter.record.topic,
                partition=letter.record.partition,
                offset=letter.record.offset,
                **tracing.about(letter.traceparent or traceparent_of(letter.record.headers)),
            )

    async def _handle(self, handling: Handling, received: Sequence[Received[Any]]) -> Outcome:
        """Handle a batch; when it fails for what it holds, halve it until the record is found that fails alone."""
        try:
            return await handling.handle(received)
        except Exception as error:
            if isinstance(error, KafkaError) or is_transient(error):
                raise
            if len(received) == 1:
                refused = refuses_data(error)
                if not refused:
                    log.exception("handler_failed", **tracing.about(received[0].event.traceparent))
                reason = Reason.REFUSED_BY_DATABASE if refused else Reason.HANDLER_FAILED
                state = getattr(error, "sqlstate", None)
                detail = f"{type(error).__name__}{f' ({state})' if state else ''}"
                return Outcome(rejected=[Rejected(received[0], reason, detail)])
        middle = len(received) // 2
        first = await self._handle(handling, received[:middle])
        second = await self._handle(handling, received[middle:])
        return Outcome(
            [*first.publish, *second.publish],
            [*first.rejected, *second.rejected],
            [*first.acknowledged, *second.acknowledged],
        )

    def _dead_letter(self, letter: _DeadLetter) -> Outgoing:
        record = letter.record
        topic = self._handlers[record.topic][0]
        about = {
            "x-reason": str(letter.reason),
            "x-detail": letter.detail,
            "x-source-topic": record.topic,
            "x-source-partition": str(record.partition),
            "x-source-offset": str(record.offset),
            "x-consumer": self._service,
            "x-failed-at": self._clock().isoformat(),
        }
        if record.value is None:
            about["x-null-value"] = "true"
        return Outgoing(
            topic=dead_letter_topic(self._service, topic).name,
            key=record.key or b"",
            value=record.value or b"",
            headers=[
                *((name, value) for name, value in record.headers if value is not None),
                *((name, text.encode()) for name, text in about.items()),
            ],
        )

    def _let_go(self) -> None:
        self._letting_go.set()
        self._shorten()

    def _shorten(self) -> None:
        attempt = self._attempt
        if attempt is None:
            return
        soon = asyncio.get_running_loop().time() + self._drain_seconds
        when = attempt.when()
        try:
            attempt.reschedule(soon if when is None else min(when, soon))
        except RuntimeError:
            # The attempt has ended in this very moment.
            return

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._letting_go.wait()
        except TimeoutError:
            pass

    async def _stand_still(self) -> None:
        """Hold the partitions and do nothing, until the process is stopped: an operator must look first."""
        self._over_limit = True
        CONSUMER_STOPPED.labels(service=self._service).set(1)
        log.error("consumer_stopped_at_dead_letter_limit")
        await self._letting_go.wait()

    async def _measure(self) -> None:
        while True:
            try:
                async with asyncio.timeout(10):
                    await self._measure_once()
            except (KafkaError, TimeoutError, OSError):
                pass
            except Exception as error:
                if not is_transient(error):
                    log.exception("consumer_measures_failed")
            await asyncio.sleep(_MEASURE_EVERY)

    async def _measure_once(self) -> None:
        consumer = self.subscriber.consumer
        if consumer is None:
            return
        assigned = sorted(consumer.assignment())
        asked_at = self._clock()
        ends = await consumer.end_offsets(assigned) if assigned else {}
        lags: Counter[str] = Counter(dict.fromkeys(self._handlers, 0))
        ages = dict.fromkeys(self._handlers, 0.0)
        read_through = self._read_through
        self._read_through = {partition: read_through.get(partition, asked_at) for partition in assigned}
        through: dict[Partition, datetime] = {}
        for partition, end in ends.items():
            done = await consumer.committed(partition)
            if done is None:
                beginning = await consumer.beginning_offsets([partition])
                done = beginning[partition]
            lags[partition.topic] += max(end - done, 0)
            # What lags is told as well: whoever waits for every partition must know of those not read yet.
            read = asked_at if end <= done else _EPOCH
            through[self._handlers[partition.topic][0].name, partition.partition] = read
            if end <= done:
                self._read_through[partition] = asked_at
            else:
                waited = (asked_at - self._read_through[partition]).total_seconds()
                ages[partition.topic] = max(ages[partition.topic], waited)
        for name, lag in lags.items():
            topic = self._handlers[name][0].name
            CONSUMER_LAG.labels(service=self._service, topic=topic).set(lag)
            CONSUMER_LAG_AGE.labels(service=self._service, topic=topic).set(ages[name])
        if not sum(lags.values()):
            self._progressed_at = time.monotonic()
        if self._progress is not None and through:
            await self._progress(through)

    async def _tell_progress(self, newest: Mapping[tuple[str, int], int]) -> None:
        through: dict[Partition, datetime] = {}
        for (name, number), milliseconds in newest.items():
            at = _EPOCH + timedelta(milliseconds=milliseconds)
            through[self._handlers[name][0].name, number] = self._read_through[TopicPartition(name, number)] = at
        if self._progress is None:
            return
        try:
            await self._progress(through)
        except Exception as error:
            if not is_transient(error):
                raise
            log.warning("progress_not_told", error=type(error).__name__)


def split_by_key(records: Records) -> Sequence[Records]:
    """Cut records into a few groups, each in its order and all records of one key in the same group.

    Records of two calls that are cut into as many groups have their keys in the same places.
    """
    count = min(len(records) // _GROUP, _GROUPS)
    if count < 2:
        return [records]
    groups: list[list[ConsumerRecord[Any, Any]]] = [[] for _ in range(count)]
    for record in records:
        groups[crc32(record.key or b"") % count].append(record)
    return groups


def _origin(record: ConsumerRecord[Any, Any]) -> tuple[str, int, int]:
    return (record.topic, record.partition, record.offset)


def _topic(record: ConsumerRecord[Any, Any]) -> str:
    return str(record.topic)
