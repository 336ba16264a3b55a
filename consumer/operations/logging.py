"""Logs: structured, on stderr; JSON lines unless a person watches a terminal."""

from __future__ import annotations

import logging
import sys
from typing import Any, Literal

import orjson
import structlog

from consumer.redaction import redacted

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


Level = Literal["debug", "info", "warning", "error"]
Form = Literal["auto", "json", "console"]


def configure_logging(level: Level, form: Form = "auto") -> None:
    """Set up structlog and the standard library's logging, which libraries use, to write the same lines.

    Args:
        level: the least severe level that is written.
        form: ``auto`` is ``console`` on a terminal and ``json`` elsewhere.
    """
    console = form == "console" or (form == "auto" and sys.stderr.isatty())
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    render: list[Any] = (
        # The default shows the local variables of every frame, passwords and recordings' names among them.
        [structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]
        if console
        else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(serializer=_dumps)]
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *render, _redacted],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(_LEVELS[level])
    for noisy in ("botocore", "boto3", "urllib3", "s3transfer", "modelscope", "funasr", "jieba", "numba"):
        logging.getLogger(noisy).setLevel(max(_LEVELS[level], logging.WARNING))


def quiet_logs(form: Form, level: Level = "warning") -> None:
    """For a command that talks to a person: little, and nothing of the Kafka client, whose errors are raised, too."""
    configure_logging(level, form)
    logging.getLogger("librdkafka").setLevel(logging.CRITICAL)


def _redacted(_logger: Any, _method: str, line: Any) -> str:
    return redacted(line)


def _dumps(value: Any, **_: Any) -> str:
    return orjson.dumps(value, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
