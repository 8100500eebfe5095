"""A world: S3, functions that are the product's own handler, sources that change, and events that name them."""

from __future__ import annotations

import logging
import random
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, Final, NoReturn
from unittest import mock

import pyarrow.parquet as pq

from csv_transcode.errors import TranscodeError
from csv_transcode.manifest import fingerprint
from csv_transcode.runtime import Runtime
from csv_transcode.settings import Settings
from csv_transcode.telemetry import LOGGER_NAME
from lambda_handler import LambdaFunction
from s3_data_processor import IO_THREADS_EXTRA, S3DataProcessor
from tests.simulation import corpus, deliveries
from tests.simulation.corpus import SOURCES, VARIANTS, Converted, Source
from tests.simulation.invariants import INPUT_BUCKET, KMS_KEY, OUTPUT_BUCKET, BrokenError, Invariants, Rules
from tests.simulation.network import Network
from tests.simulation.scheduler import (
    KilledError,
    Life,
    Scheduler,
    SimulatedCondition,
    SimulatedExecutor,
    simulated_futures,
)
from tests.simulation.sdk import Machine, client_over, simulated_sdk
from tests.simulation.server import OWNER, Bucket, Server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.simulation.deliveries import Delivery
    from tests.simulation.faults import Call
    from tests.simulation.network import Plan

PREFIX: Final = "in/"
PART_BYTES: Final = 4096  # instead of 8 MiB: what is put in the settings' place once they are made
TIMEOUT_SECONDS: Final = 900.0
MILLISECONDS: Final = 1000
AFTERWARDS_SECONDS_MAX: Final = 40.0
LATENCY_SECONDS: Final = 0.02
MARGIN_SECONDS: Final = 10.0  # the product's default


@dataclass(frozen=True)
class Shape:
    """What a world is like, chance apart."""

    unique_etags: bool = False  # as under SSE-KMS
    kms: bool = False
    owners: bool = False
    versioned: bool = True
    checksums: bool = True  # of the sources
    page_keys: int = 1000
    part_bytes: int = PART_BYTES
    retries_max: int = 5
    workers_max: int = 4
    inline: bool = True  # a function does one thing at a time
    cores: int = 1
    timeout_seconds: float = TIMEOUT_SECONDS
    wrangler: bool = False

    def environ(self, variant: str) -> dict[str, str]:
        """Return the environment that a function is deployed with."""
        owners = {"EXPECTED_INPUT_BUCKET_OWNER": OWNER, "EXPECTED_OUTPUT_BUCKET_OWNER": OWNER}
        return {
            "INPUT_BUCKET": INPUT_BUCKET,
            "OUTPUT_BUCKET": OUTPUT_BUCKET,
            "PREFIX": PREFIX,
            "MAX_WORKERS": str(self.workers_max),
            "RETRIES_MAX": str(self.retries_max),
            "MEMORY_BUDGET_MB": "1024",
            **(owners if self.owners else {}),
            **({"OUTPUT_KMS_KEY_ID": KMS_KEY} if self.kms else {}),
            **({"USE_WRANGLER": "true"} if self.wrangler else {}),
            **VARIANTS[variant],
        }


class Calm:
    """No fault, ever."""

    def fault(self, call: Call, kinds: tuple[str, ...]) -> str | None:  # noqa: ARG002
        return None

    def place(self, length: int) -> int:
        return length // 2

    def latency(self) -> float:
        return LATENCY_SECONDS


@dataclass(frozen=True)
class Context:
    """What Lambda tells a function of its invocation."""

    life: Life
    scheduler: Scheduler
    aws_request_id: str = "simulated"

    def get_remaining_time_in_millis(self) -> int:
        ends_at = self.life.ends_at
        return int(((ends_at or self.scheduler.now) - self.scheduler.now) * MILLISECONDS)


class World:
    """Everything of one run. Use it inside ``simulated(world)``."""

    def __init__(
        self,
        shape: Shape,
        chance: random.Random,
        plan: Plan | None = None,
        trace: Callable[[str], None] | None = None,
        server: Server | None = None,
    ) -> None:
        self.shape = shape
        self.chance = chance
        self.newest: dict[str, tuple[Source, str]] = {}
        self.gone: set[str] = set()
        self.running = 0
        self.unfinished: list[BaseException] = []
        self.scheduler = Scheduler(chance)
        self.machine = Machine(self.scheduler.sleep)
        self.server = server or _server(shape)
        self.log = _Log(trace)
        self.invariants = Invariants(
            self.server,
            _settings(shape, "typed").key_map,
            Rules(owners=shape.owners, kms=shape.kms),
            oracle,
            _variants(),
            self.broken,
            self._is_late,
            trace,
        )
        self.network = Network(self.server, self.scheduler, plan or Calm(), self.invariants, self.invariants.target_of)
        self.network.afterwards = lambda: self.do(
            self.network.finish_one_under_way, after_seconds=chance.random() * AFTERWARDS_SECONDS_MAX
        )
        self._idle: dict[str, list[LambdaFunction]] = {}
        self._lives = 0

    # ------------------------------------------------------------------ what happens in it

    def fork(self, trace: Callable[[str], None] | None = None) -> World:
        """Return a world that stands where this one does, and goes its own way from there."""
        chance = random.Random(f"after {self.network.calls} calls")  # or attempt ids would come again
        made = World(self.shape, chance, trace=trace, server=self.server.copy())
        made.newest.update(self.newest)
        made.gone |= self.gone
        made.invariants.adopt(self.invariants)
        return made

    def overwrite(self, key: str, name: str) -> None:
        """Make a source of the corpus the newest version of a key."""
        held = self.server.put(INPUT_BUCKET, key, SOURCES[name].content, checksum=self.shape.checksums)
        self.newest[key] = (SOURCES[name], held.etag)
        self.gone.discard(key)
        self.invariants.overwritten(key, SOURCES[name], held)

    def delete(self, key: str) -> None:
        """Take a source away."""
        self.server.delete(INPUT_BUCKET, key)
        del self.newest[key]
        self.gone.add(key)
        self.invariants.deleted(key)

    def invoke(self, delivery: Delivery, variant: str = "typed") -> Life:
        """Begin an invocation of a function for an event; it runs when the scheduler does."""
        self._lives += 1
        self.running += 1
        life = Life(f"#{self._lives}")
        self.invariants.asked[life] = len(delivery.keys)
        self.scheduler.spawn(life, lambda: self._invocation(life, delivery, variant))
        return life

    def do(self, act: Callable[[], object], *, after_seconds: float = 0.0) -> None:
        """Let something else happen, sometime."""

        def wait_and_act() -> None:
            self.scheduler.sleep(after_seconds)
            act()

        self.scheduler.spawn(Life("the world"), wait_and_act)

    def run(self) -> None:
        """Run until everything that has begun has ended; raises BrokenError where an invariant does not hold."""
        self.scheduler.run()
        self.running = 0
        if self.unfinished:
            raise self.unfinished[0]

    def deliver(self, delivery: Delivery, variant: str = "typed") -> Life:
        """Invoke, and wait for the end."""
        life = self.invoke(delivery, variant)
        self.run()
        return life

    # ------------------------------------------------------------------ one invocation

    def _invocation(self, life: Life, delivery: Delivery, variant: str) -> None:
        life.ends_at = self.scheduler.now + self.shape.timeout_seconds
        payload = delivery.payload()
        idle = self._idle.setdefault(variant, [])
        function = idle.pop() if idle else self._function(variant)
        self.log.line(f"{life.name} begins: {delivery.kind.name} {sorted(delivery.left)}")
        try:
            answer: Any = function(payload, Context(life, self.scheduler))
        except TranscodeError as error:
            answer = error
        except Exception as error:  # noqa: BLE001 - whatever it is, it is not the project's own
            self.broken(f"{life.name} raised {type(error).__name__}: {error}", error)
        idle.append(function)
        self.log.line(f"{life.name} answers: {str(answer)[:300]}")
        delivery.answered(answer)
        self.invariants.ended(life)
        self.running -= 1

    def _function(self, variant: str) -> LambdaFunction:
        return LambdaFunction(self.shape.environ(variant), self._build, _no_fetch)

    def _build(self, settings: Settings) -> S3DataProcessor:
        object.__setattr__(settings, "part_bytes", self.shape.part_bytes)
        runtime = self._runtime()
        client = client_over(
            self.network,
            runtime,
            connections_max=2 * settings.max_workers + IO_THREADS_EXTRA,
            retries_max=settings.retries_max,
            connect_timeout_seconds=settings.connect_timeout_seconds,
            read_timeout_seconds=settings.read_timeout_seconds,
        )
        return S3DataProcessor.from_settings(settings, s3_client=client, runtime=runtime)

    def _runtime(self) -> Runtime:
        return Runtime(
            clock=lambda: self.scheduler.now,
            sleep=self.scheduler.sleep,
            token=lambda size: f"{self.chance.getrandbits(8 * size):0{2 * size}x}",
            executor=self._executor,
            condition=lambda: SimulatedCondition(self.scheduler),  # type: ignore[arg-type, return-value]
            cores=self.shape.cores,
            allowed_cores=frozenset,
        )

    def _executor(self, workers_max: int, name: str) -> SimulatedExecutor:
        return SimulatedExecutor(self.scheduler, workers_max, inline=self.shape.inline or name == "decode")

    def _is_late(self, life: Life) -> bool:
        return life.ends_at is not None and life.ends_at - self.scheduler.now <= MARGIN_SECONDS

    def broken(self, message: str, cause: BaseException | None = None) -> NoReturn:
        error = BrokenError(message)
        error.__cause__ = cause
        self.unfinished.append(error)
        self.log.line(f"BROKEN: {message}")
        if self.scheduler.current is None:
            raise error
        self.scheduler.kill_all()
        raise KilledError


def _nothing(_: object) -> None:
    pass


@contextmanager
def simulated(world: World) -> Iterator[World]:
    """Let nothing in the world take time, sleep, chance or threads from the machine."""
    logger = logging.getLogger(LOGGER_NAME)
    filters, logger.filters = logger.filters, [world.log]
    no_finalizer = mock.patch.object(pq.ParquetWriter, "__del__", _nothing)  # a process that is killed runs none
    try:
        with simulated_sdk(world.machine), simulated_futures(world.scheduler), no_finalizer:
            yield world
    finally:
        logger.filters = filters


@dataclass
class _Log(logging.Filter):
    """Counts the product's log lines, and keeps them out of the terminal."""

    trace: Callable[[str], None] | None
    counts: dict[str, int] = field(default_factory=dict)

    def filter(self, record: logging.LogRecord) -> bool:
        event = record.getMessage()
        self.counts[event] = self.counts.get(event, 0) + 1
        if self.trace:
            fields = getattr(record, "event_fields", {})
            self.trace(f"              log: {event} {fields.get('key', '')} {fields.get('reason') or ''}")
        return False

    def line(self, text: str) -> None:
        if self.trace:
            self.trace(text)


@cache
def _oracle(name: str, variant: str) -> Converted:
    world = World(Shape(), random.Random(0))
    key = f"{PREFIX}{name}.csv"
    with simulated(world):
        world.invariants.oracle = lambda *_: None  # type: ignore[assignment]
        world.invariants.require_true = lambda key: None  # type: ignore[method-assign] # noqa: ARG005
        world.invariants._require_whole = lambda *_: None  # type: ignore[method-assign]
        world.overwrite(key, name)
        world.deliver(deliveries.Delivery(deliveries.DIRECT, (key,)), variant)
    keys = world.invariants.key_map.map(key)
    objects = world.server.buckets[OUTPUT_BUCKET].objects
    named = {**keys.outputs, "rejects": keys.rejects}
    bodies = {name: objects[path].content for name, path in named.items() if path in objects}
    made = Converted(bodies, world.invariants.manifest(key)["records"])
    corpus.require_right(SOURCES[name], variant, made)
    return made


def oracle(source: Source, variant: str) -> Converted:
    """Return what the product makes of a source where nothing goes wrong, checked by other people's readers."""
    return _oracle(source.name, variant)


@cache
def _variants() -> dict[str, str]:
    return {fingerprint(_settings(Shape(), name)): name for name in VARIANTS}


@cache
def _settings(shape: Shape, variant: str) -> Settings:
    return Settings.from_mapping(shape.environ(variant))


def _server(shape: Shape) -> Server:
    buckets = {
        INPUT_BUCKET: Bucket(versioned=shape.versioned, unique_etags=shape.unique_etags),
        OUTPUT_BUCKET: Bucket(unique_etags=shape.unique_etags),
    }
    return Server(buckets, page_keys=shape.page_keys, part_bytes_min=min(shape.part_bytes, PART_BYTES))


def _no_fetch(url: str) -> bytes:
    message = f"no setting is at {url}"
    raise AssertionError(message)
