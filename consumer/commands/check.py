"""``tingxie check``: is everything that the service needs in order? One line each, with what to do."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.text import Text

from consumer.commands.terminal import printable
from consumer.errors import ObjectForbidden, RetryError, TingxieError
from consumer.operations.logging import quiet_logs
from consumer.redaction import redacted
from consumer.settings import Settings

Mark = Literal["ok", "FAIL", "skip"]
STYLES: dict[Mark, str] = {"ok": "green", "FAIL": "bold red", "skip": "yellow"}


class Report:
    """Prints lines to stdout and remembers whether one was a fault."""

    def __init__(self) -> None:
        self._console = Console(highlight=False)
        self._waiting = Console(stderr=True)
        self.faults = 0

    def line(self, mark: Mark, subject: str, detail: str) -> None:
        """One finding."""
        self.faults += mark == "FAIL"
        text = Text(f"{mark:<5}", style=STYLES[mark])
        text.append(f"{subject:<9} ", style="not bold default")
        text.append(printable(redacted(" ".join(detail.split()))), style="not bold default")
        self._console.print(text, soft_wrap=True)

    def finding(self, subject: str, look: Callable[[], str]) -> bool:
        """The line of something to look at, which says what it found or raises what is wrong."""
        try:
            if self._waiting.is_terminal:
                with self._waiting.status(f"checking {subject}"):
                    detail = look()
            else:
                detail = look()
        except TingxieError as error:
            self.line("FAIL", subject, str(error))
            return False
        self.line("ok", subject, detail)
        return True


def check(
    load: Callable[[], Settings], config: Path | None, *, model: bool, create_topics: bool, partitions: int
) -> int:
    """Look at everything, also after a fault.

    Args:
        load: reads the settings; `TingxieError` when they are wrong.
        config: the settings file, to name it.
        model: load the models, too.
        create_topics: create those that are missing.
        partitions: of created topics.

    Returns:
        Exit code: 0 when all is in order, 1 on any fault.
    """
    report = Report()
    try:
        settings = load()
    except TingxieError as error:
        report.line("FAIL", "settings", str(error))
        return 1
    report.line("ok", "settings", _sources(config))
    quiet_logs(settings.telemetry.log_format, "error")
    _check_kafka(settings, report, create_topics=create_topics, partitions=partitions)
    _check_storage(settings, report)
    if settings.telemetry.traces != "none":
        report.finding("traces", lambda: _traces(settings))
    report.finding("spool", lambda: _spool(settings))
    report.finding("decoder", lambda: _decoder(settings))
    if model:
        report.finding("model", lambda: _model(settings))
    else:
        report.line("skip", "model", f"{settings.engine.model} was not loaded (--no-model)")
    return 1 if report.faults else 0


def _sources(config: Path | None) -> str:
    """Where settings came from; names only, since values can be secret."""
    names = sorted(name for name in os.environ if name.upper().startswith("TINGXIE_") and "__" in name)
    places = [*([f"file {config}"] if config else []), *([f"environment {', '.join(names)}"] if names else [])]
    return f"{'; '.join(places) or 'nothing is set'}; all else has its default"


def _check_kafka(settings: Settings, report: Report, *, create_topics: bool, partitions: int) -> None:
    from consumer.commands.check_kafka import KafkaCheck  # noqa: PLC0415 - the client library is slow to import

    kafka = KafkaCheck(settings)
    reachable = report.finding("broker", kafka.broker)
    for name in kafka.topics:
        if reachable:
            report.finding("topic", partial(kafka.topic, name, partitions if create_topics else None))
        else:
            report.line("skip", "topic", f"{name}: no broker to ask")
    if reachable:
        report.finding("group", kafka.group)


def _check_storage(settings: Settings, report: Report) -> None:
    from consumer.kafka.sink import record_limit  # noqa: PLC0415 - the client libraries are slow to import
    from consumer.storage.buckets import list_buckets  # noqa: PLC0415 - likewise
    from consumer.storage.objects import ObjectFetcher  # noqa: PLC0415 - likewise
    from consumer.storage.spool import Spool  # noqa: PLC0415 - likewise
    from consumer.storage.transcripts import TranscriptStore  # noqa: PLC0415 - likewise

    storage, where = settings.storage, settings.storage.endpoint_url or f"AWS {settings.storage.region}"

    @contextmanager
    def advised() -> Iterator[None]:
        try:
            yield
        except RetryError as error:
            raise TingxieError(f"{error}; check storage.endpoint_url, and that this machine reaches it") from error

    def bucket(name: str) -> str:
        with closing(ObjectFetcher(storage, settings.limits, Spool(settings.limits.spool_dir))) as objects, advised():
            objects.check_bucket(name)
        return f"{name} can be reached at {where}"

    def any_bucket() -> str:
        try:
            with advised():
                names = list_buckets(storage)
        except ObjectForbidden:
            return f"{where} knows the credentials, which may not list buckets; name yours in storage.allowed_buckets"
        return f"{where} answers; buckets: {len(names)}; storage.allowed_buckets is empty, so events may name any"

    def transcript_bucket() -> str:
        limit = record_limit(settings.kafka, settings.limits.transcript_bytes)
        with closing(TranscriptStore(storage, connections=1)) as store, advised():
            store.check_bucket()
        return f"{storage.transcript_bucket} can be reached at {where}; it takes transcripts above {limit:,} bytes"

    for name in storage.allowed_buckets:
        report.finding("bucket", lambda name=name: bucket(name))  # type: ignore[misc]
    if not storage.allowed_buckets:
        report.finding("storage", any_bucket)
    if storage.transcript_bucket:
        report.finding("bucket", transcript_bucket)


def _traces(settings: Settings) -> str:
    from consumer.operations.tracing import check_collector  # noqa: PLC0415 - OpenTelemetry, for those who use it

    return f"{check_collector(settings.telemetry)} takes traces"


def _spool(settings: Settings) -> str:
    from consumer.storage.spool import Spool  # noqa: PLC0415 - beside its fellows

    with Spool(settings.limits.spool_dir) as spool:
        free = shutil.disk_usage(spool.folder).free
    return f"{settings.limits.spool_dir} can be written; free: {free / 1024**3:.1f} GiB"


def _decoder(settings: Settings) -> str:
    from consumer.audio.decoder import Decoder  # noqa: PLC0415 - beside its fellows
    from consumer.audio.landlock import TCP_SINCE  # noqa: PLC0415
    from consumer.storage.spool import Spool  # noqa: PLC0415

    with Decoder(settings.limits, Spool(settings.limits.spool_dir)) as decoder:
        confined = decoder.confinement()
    files = f"no files (Landlock {confined.landlock})" if confined.landlock else "all files of this user (no Landlock)"
    network = "no network" if confined.own_network else "UDP" if confined.landlock >= TCP_SINCE else "the network"
    return f"processes start, and can reach {files} and {network}; see docs/isolation.md"


def _model(settings: Settings) -> str:
    from consumer.engine.engine import Engine  # noqa: PLC0415 - the model libraries take many seconds to import

    engine = Engine(settings.engine)
    begin = time.monotonic()
    try:
        engine.start()
        seconds = time.monotonic() - begin
        info = engine.model
        assert info is not None
    finally:
        engine.close(5.0)
    parts = (f"{info.name}@{info.revision}", info.vad, info.punctuation or "no punctuation")
    return f"{', '.join(parts)} on {info.device} in {info.dtype}; loaded in {seconds:.1f} s"
