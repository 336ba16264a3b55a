"""``tingxie run``: the service, until it is told to stop."""

from __future__ import annotations

import faulthandler
import signal
import threading
from collections.abc import Callable
from types import FrameType

import structlog

from consumer.app import open_service
from consumer.operations.logging import configure_logging
from consumer.settings import Settings

log = structlog.get_logger("tingxie")


def run(load: Callable[[], Settings]) -> None:
    """Work until SIGTERM or SIGINT, then drain; a second signal ends the process at once, uncommitted work intact.

    SIGHUP reads the settings again and replaces the models by those that they name, while work goes on.
    SIGUSR1 lets recordings in again after too many dead letters paused consumption.
    SIGQUIT writes the stacks of all threads to standard error, and so does a crash in native code.

    Args:
        load: reads the settings.

    Raises:
        TingxieError: the service cannot start or cannot go on.
    """
    settings = load()
    configure_logging(settings.telemetry.log_level, settings.telemetry.log_format)
    threading.current_thread().name = "loop"  # as the watchdog calls it
    faulthandler.enable()
    faulthandler.register(signal.SIGQUIT)
    with open_service(settings, load=load, supervised=True) as service:

        def stop(number: int, _: FrameType | None) -> None:
            signal.signal(number, signal.SIG_DFL)
            service.stop()

        def resume(*_: object) -> None:
            service.resume()

        def reload(*_: object) -> None:
            service.models.request()

        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)
        signal.signal(signal.SIGUSR1, resume)
        signal.signal(signal.SIGHUP, reload)
        log.info(
            "starting",
            broker=settings.kafka.bootstrap_servers,
            group=settings.kafka.group_id,
            topic=settings.topics.uploads,
            model=settings.engine.model,
        )
        service.run()
    log.info("stopped")
