"""What a conversion's processors do, sampled: stacks by what their threads have computed."""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING

from benchmarks import flame

if TYPE_CHECKING:
    from types import FrameType


def here() -> FrameType:
    return sys._getframe()


def computing(seconds: float) -> None:
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


def test_what_computes_counts_and_what_waits_does_not() -> None:
    over = threading.Event()
    waiting = threading.Thread(target=over.wait)
    waiting.start()
    sampler = flame.Sampler()
    sampler.start()
    computing(0.2)
    sampler.stop()
    over.set()
    waiting.join()
    assert 0.1e9 < sum(sampler.spent.values()) < 0.4e9


def test_a_stack_begins_with_the_product_and_has_a_library_once() -> None:
    outside = flame.stack_of(here())
    assert outside[-1] == "tests"
    assert all(name != after for name, after in pairwise(outside))
    code = compile("def inner(call):\n    return call()\n", "<product>", "exec")
    product: dict[str, object] = {"__name__": "csv_transcode.pipeline"}
    exec(code, product)  # noqa: S102 -- a frame of the product's name
    stack = product["inner"](lambda: flame.stack_of(here()))  # type: ignore[operator]
    assert stack == ("csv_transcode.pipeline.inner", "tests")


def test_small_stacks_are_put_together_and_nothing_is_lost() -> None:
    spent = Counter({("a", "b"): 2_000_000_000, ("c",): 500_000, ("d",): 400_000})
    told = flame.told(spent, 2.5)
    assert told["stacks"] == [
        {"frames": ["a", "b"], "seconds": 2.0},
        {"frames": ["not in Python"], "seconds": 0.4991},
        {"frames": ["other stacks"], "seconds": 0.0009},
    ]
