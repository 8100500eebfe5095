"""Threads that convert small objects share a core, others run on all; nobody else's thread is moved."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

import pytest

from csv_transcode.affinity import SMALL_BYTES_MAX, Affinity
from csv_transcode.runtime import Runtime, allowed_cores, core, move, thread_pool
from tests.s3.executors import InlineExecutor
from tests.standing import processor, put

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from concurrent.futures import Executor

    from mypy_boto3_s3 import S3Client

ALL: Final = frozenset({0, 1, 2})
SMALL: Final = 10_000
LARGE: Final = SMALL_BYTES_MAX + 1


class Machine:
    """Cores, and where its threads were moved to: (name, cores), in order."""

    def __init__(self, cores: frozenset[int] = ALL) -> None:
        self.moves: list[tuple[str, frozenset[int]]] = []
        self.here: int | None = 1
        self.runtime = Runtime(allowed_cores=lambda: cores, core=lambda: self.here, move=self._move)

    def _move(self, cores: Collection[int]) -> None:
        self.moves.append((threading.current_thread().name, frozenset(cores)))

    def moved(self) -> list[tuple[str, frozenset[int]]]:
        """Return the moves since this was asked last."""
        moves, self.moves = self.moves, []
        return moves


@pytest.fixture
def machine() -> Machine:
    return Machine()


@pytest.fixture
def affinity(machine: Machine) -> Affinity:
    made = Affinity(machine.runtime)
    made.choose()
    return made


@pytest.fixture
def objects(affinity: Affinity) -> Iterator[Executor]:
    with ThreadPoolExecutor(1, "object") as threads:
        yield affinity.following(threads)


@pytest.fixture
def io(affinity: Affinity) -> Iterator[Executor]:
    with ThreadPoolExecutor(1, "io") as threads:
        yield affinity.following(threads)


class TestSettling:
    def test_small_objects_share_the_core_that_was_chosen_and_their_tasks_with_them(
        self, machine: Machine, affinity: Affinity, objects: Executor, io: Executor
    ) -> None:
        def convert(source_bytes: int | None) -> int:
            affinity.settle(source_bytes)
            return io.submit(abs, -7).result()

        seen = []
        for source_bytes in (SMALL, SMALL_BYTES_MAX, LARGE, LARGE, None, 0):
            assert objects.submit(convert, source_bytes).result() == 7
            seen.append(machine.moved())
        one = frozenset({1})
        first, *others = seen
        assert first == [("object_0", ALL), ("object_0", one), ("io_0", one)]
        assert others == [
            [("object_0", ALL), ("object_0", one)],  # until it settles, a task runs where who submits it does
            [("object_0", ALL), ("io_0", ALL)],
            [],
            [],
            [("object_0", one), ("io_0", one)],
        ]

    def test_another_core_may_be_chosen(self, machine: Machine, affinity: Affinity, objects: Executor) -> None:
        objects.submit(affinity.settle, SMALL).result()
        machine.here = 2
        affinity.choose()
        objects.submit(affinity.settle, SMALL).result()
        assert machine.moves[-1] == ("object_0", frozenset({2}))

    @pytest.mark.parametrize("here", [None, 7])  # the system does not say; a core that it does not allow
    def test_without_a_core_to_share_they_run_on_all(
        self, machine: Machine, affinity: Affinity, objects: Executor, here: int | None
    ) -> None:
        machine.here = here
        affinity.choose()
        objects.submit(affinity.settle, SMALL).result()
        assert machine.moves == [("object_0", ALL)]

    @pytest.mark.parametrize("cores", [frozenset(), frozenset({0})])
    def test_one_core_or_none_that_is_known_moves_nothing(self, cores: frozenset[int]) -> None:
        machine = Machine(cores)
        affinity = Affinity(machine.runtime)
        affinity.choose()
        with ThreadPoolExecutor(1) as threads:
            assert affinity.following(threads) is threads
            threads.submit(affinity.settle, SMALL).result()
        assert machine.moves == []

    def test_a_thread_that_is_not_the_processor_s_own_stays(self, machine: Machine, affinity: Affinity) -> None:
        affinity.settle(SMALL)
        assert affinity.following(InlineExecutor()).submit(affinity.settle, SMALL).result() is None
        assert machine.moves == []


class TestProcessor:
    def test_puts_small_objects_on_one_core_and_a_large_one_on_all(self, s3: S3Client, machine: Machine) -> None:
        put(s3, b"id\n1\n", "in/a.csv")
        put(s3, b"id\n" + b"1\n" * (LARGE // 2), "in/b.csv")
        with processor(s3, machine.runtime, max_workers=1) as made:
            for _ in range(2):  # the first sweep makes the threads
                machine.moved()
                made.run(force=True)
        assert [cores for name, cores in machine.moved() if name.startswith("object")] == [frozenset({1}), ALL]

    def test_leaves_the_caller_where_it_is(self, s3: S3Client, machine: Machine) -> None:
        put(s3, b"id\n1\n", "in/a.csv")
        with processor(s3, machine.runtime) as made:
            made.process_file({"Key": "in/a.csv", "Size": 5})
            made.run()
        assert threading.current_thread().name not in {name for name, _ in machine.moved()}


@pytest.mark.skipif(len(allowed_cores()) < 2, reason="one core")
class TestThisMachine:
    def test_moves_one_thread_alone(self) -> None:
        before = allowed_cores()
        affinity = Affinity(Runtime())
        affinity.choose()
        with thread_pool(1, "object") as threads:

            def settled(source_bytes: int) -> tuple[frozenset[int], int | None]:
                affinity.settle(source_bytes)
                return allowed_cores(), core()

            small, where = affinity.following(threads).submit(settled, SMALL).result()
            large, _ = affinity.following(threads).submit(settled, LARGE).result()
        assert len(small) == 1
        assert small == {where}
        assert large == before == allowed_cores()

    def test_that_does_not_allow_it_is_left_alone(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(_pid: int, _cores: Collection[int]) -> None:
            raise PermissionError

        monkeypatch.setattr(os, "sched_setaffinity", refuse)
        move({0})
        monkeypatch.delattr(os, "sched_setaffinity")
        move({0})
        monkeypatch.delattr(os, "sched_getaffinity")
        assert allowed_cores() == frozenset()
        assert Runtime().cores == os.cpu_count()
