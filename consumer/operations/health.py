"""What ``/live`` and ``/ready`` answer: told by the loop and the watchdog, asked by probes."""

from __future__ import annotations


class Health:
    """Why this process should be restarted, and why it cannot do its job now.

    Each fact is one attribute that one thread writes and others read, so there are no locks.
    """

    def __init__(self) -> None:
        self._started = False
        self._stopping = False
        self._unreachable: str | None = None
        self._member = False
        self._blocked: str | None = None
        self._stuck: str | None = None

    @property
    def starting(self) -> bool:
        """Whether the models are not loaded yet."""
        return not self._started

    def started(self) -> None:
        """The models are loaded and the loop goes round."""
        self._started = True

    def stopping(self) -> None:
        """The process finishes what is in work: it must get no more, but is not to be killed."""
        self._stopping = True

    def joined(self) -> None:
        """The group has taken this process in. Its partitions may be none: others have them all, and it stands by."""
        self._member, self._unreachable = True, None

    def unreachable(self, reason: str | None) -> None:
        """The group cannot be reached; None: it can, but is yet to take this process in."""
        self._member = self._member and reason is None
        self._unreachable = reason

    def blocked(self, reason: str | None) -> None:
        """No records are taken for this reason, say because dead letters cannot be delivered; None: they are again."""
        self._blocked = reason

    def stuck(self, reason: str | None) -> None:
        """A thread does not come to an end of what it does; None: all go on."""
        self._stuck = reason

    def live(self) -> str | None:
        """Why the process should be restarted, or None."""
        return self._stuck

    def ready(self) -> str | None:
        """Why the process cannot do its job now, or None."""
        if self._stuck is not None:
            return self._stuck
        if not self._started:
            return "starting: the models are being loaded"
        if self._stopping:
            return "stopping: what is in work is being finished"
        if self._unreachable is not None:
            return self._unreachable
        if not self._member:
            return "joining the consumer group"
        return self._blocked
