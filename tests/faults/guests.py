"""Members that join the group and leave it again every few seconds, and work on nothing."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from confluent_kafka import Consumer, KafkaException

STAY_S = (1.0, 4.0)
AWAY_S = (0.5, 2.0)
POLL_S = 0.1


@contextmanager
def guests(properties: Mapping[str, Any], topic: str, rng: random.Random, count: int = 2) -> Iterator[None]:
    """So many guests come and go meanwhile.

    They are given partitions, read them, and commit nothing: whatever they hold must be worked on by somebody else
    after they left.

    Args:
        properties: of a consumer of the group.
        topic: upload topic.
        rng: draws how long they stay.
        count: of guests at a time.
    """
    over = threading.Event()
    threads = [
        threading.Thread(target=_come_and_go, args=(properties, topic, random.Random(rng.random()), over), daemon=True)
        for _ in range(count)
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()


def _come_and_go(properties: Mapping[str, Any], topic: str, rng: random.Random, over: threading.Event) -> None:
    while not over.wait(rng.uniform(*AWAY_S)):
        guest = Consumer({**properties, "enable.auto.commit": False, "enable.auto.offset.store": False})
        try:
            guest.subscribe([topic])
            until = time.monotonic() + rng.uniform(*STAY_S)
            while time.monotonic() < until and not over.is_set():
                with suppress(KafkaException):
                    guest.poll(POLL_S)
        finally:
            guest.close()
