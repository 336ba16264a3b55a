"""One lane for each object: two events of one object are worked on one after the other, different objects never wait.

Brokers' keys can be constant (versitygw's are), so the order of a partition is not the order of an object. Pure.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterable
from typing import Generic, TypeVar

TicketT = TypeVar("TicketT", bound=Hashable)


class Lanes(Generic[TicketT]):
    """Who may work on an object, and who waits for it. The first ticket in a lane is the one at work."""

    def __init__(self) -> None:
        self._lanes: dict[Hashable, deque[TicketT]] = {}

    def enter(self, lane: Hashable, ticket: TicketT) -> bool:
        """Queue a ticket for an object; true when it may begin at once."""
        queue = self._lanes.setdefault(lane, deque())
        queue.append(ticket)
        return len(queue) == 1

    def leave(self, lane: Hashable, ticket: TicketT) -> TicketT | None:
        """Take a ticket out, at work or waiting; returns the one that may begin because of it."""
        queue = self._lanes.get(lane)
        if queue is None or ticket not in queue:
            return None
        was_first = queue[0] == ticket
        queue.remove(ticket)
        if not queue:
            del self._lanes[lane]
            return None
        return queue[0] if was_first else None

    def drop(self, tickets: Iterable[tuple[Hashable, TicketT]]) -> list[TicketT]:
        """Take several out together; returns those left that may begin because of it."""
        dropped = list(tickets)
        gone = {ticket for _, ticket in dropped}
        free = [self.leave(lane, ticket) for lane, ticket in dropped]
        return [ticket for ticket in free if ticket is not None and ticket not in gone]

    def __len__(self) -> int:
        """Objects with work."""
        return len(self._lanes)
