"""That no error of the storage client gets past the table."""

from __future__ import annotations

import inspect
from string import Formatter

import botocore.exceptions
import pytest
import urllib3.exceptions
from botocore.exceptions import BotoCoreError, ClientError, WaiterError
from hypothesis import given
from hypothesis import strategies as st

from consumer.errors import (
    CredentialsRefused,
    EventInvalid,
    ObjectForbidden,
    ObjectMissing,
    RecordingError,
    RetryError,
    StopError,
    StorageTimeout,
    StorageUnavailable,
    TingxieError,
    UsageError,
)
from consumer.storage.failures import CODES, HINTS, KINDS, STATUSES, TRANSLATED, translate

CLASSES = sorted(
    (
        item
        for item in vars(botocore.exceptions).values()
        if inspect.isclass(item)
        and item.__module__ == "botocore.exceptions"
        and issubclass(item, Exception)
        and not issubclass(item, Warning)
    ),
    key=lambda item: item.__name__,
)


def client_error(code: str, status: int) -> ClientError:
    return ClientError(
        {"Error": {"Code": code, "Message": "told to"}, "ResponseMetadata": {"HTTPStatusCode": status}},  # type: ignore[typeddict-item]  # the other fields do not matter
        "GetObject",
    )


def example(kind: type[Exception]) -> Exception:
    """An instance with all that its message needs."""
    if issubclass(kind, ClientError):
        return kind({"Error": {"Code": "InternalError"}}, "GetObject")
    if kind is WaiterError:
        return WaiterError("waiter", "reason", {})
    template = getattr(kind, "fmt", "")
    fields = {name: [] if name == "report" else name for _, name, _, _ in Formatter().parse(template) if name}
    return kind(**fields)


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_every_error_of_the_client_library_is_translated(kind: type[Exception]) -> None:
    error = example(kind)
    assert isinstance(error, TRANSLATED)
    ours = translate(error, "calls/a.wav")
    assert isinstance(ours, TingxieError)
    assert type(ours) in HINTS
    assert str(ours).startswith("calls/a.wav: ")


def test_the_walk_finds_the_classes() -> None:
    assert len(CLASSES) > 80
    assert {"NoCredentialsError", "IncompleteReadError", "ParamValidationError"} <= {item.__name__ for item in CLASSES}


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (client_error("NoSuchKey", 404), ObjectMissing),
        (client_error("NoSuchBucket", 404), ObjectMissing),
        (client_error("NoSuchVersion", 404), ObjectMissing),
        (client_error("404", 404), ObjectMissing),
        (client_error("MethodNotAllowed", 405), ObjectMissing),
        (client_error("InvalidArgument", 400), ObjectMissing),
        (client_error("PermanentRedirect", 301), ObjectMissing),
        (client_error("AccessDenied", 403), ObjectForbidden),
        (client_error("403", 403), ObjectForbidden),
        (client_error("InvalidObjectState", 403), ObjectForbidden),
        (client_error("SomethingNew", 400), ObjectForbidden),
        (client_error("InvalidBucketName", 400), EventInvalid),
        (client_error("InvalidAccessKeyId", 403), CredentialsRefused),
        (client_error("SignatureDoesNotMatch", 403), CredentialsRefused),
        (client_error("XAdminUserNotFound", 404), CredentialsRefused),
        (client_error("ExpiredToken", 400), CredentialsRefused),
        (client_error("RequestTimeTooSkewed", 403), CredentialsRefused),
        (client_error("SlowDown", 503), StorageUnavailable),
        (client_error("InternalError", 500), StorageUnavailable),
        (client_error("Throttling", 400), StorageUnavailable),
        (client_error("429", 429), StorageUnavailable),
        (client_error("", 502), StorageUnavailable),
        (client_error("", 0), StorageUnavailable),
        (client_error("RequestTimeout", 400), StorageTimeout),
        (urllib3.exceptions.ReadTimeoutError(None, "", "slow"), StorageTimeout),  # type: ignore[arg-type]  # needs no pool
        (urllib3.exceptions.ProtocolError("broken"), StorageUnavailable),
        (ConnectionResetError(104, "reset"), StorageUnavailable),
        (TimeoutError("slow"), StorageTimeout),
        (OSError(5, "i/o"), StorageUnavailable),
        (botocore.exceptions.NoCredentialsError(), CredentialsRefused),
        (botocore.exceptions.ProfileNotFound(profile="x"), UsageError),
        (botocore.exceptions.ParamValidationError(report="x"), EventInvalid),
    ],
    ids=lambda item: getattr(item, "__name__", None) or str(item)[:40],
)
def test_examples(error: Exception, kind: type[TingxieError]) -> None:
    assert type(translate(error, "calls/a.wav")) is kind


@given(st.text(max_size=30), st.integers(0, 999))
def test_any_code_and_status(code: str, status: int) -> None:
    ours = translate(client_error(code, status), "calls/a.wav")
    assert isinstance(ours, (RecordingError, CredentialsRefused))
    if code not in CODES and 500 <= status < 600:
        assert isinstance(ours, RetryError)


def test_an_answer_without_any_of_the_usual_fields() -> None:
    assert isinstance(translate(ClientError({}, "GetObject"), "x"), StorageUnavailable)


def test_the_message_tells_what_the_storage_said() -> None:
    ours = translate(client_error("AccessDenied", 403), "calls/a.wav")
    assert str(ours) == "calls/a.wav: the storage denies it to these credentials (403 AccessDenied told to)"


def test_a_recording_alone_never_stops_the_service() -> None:
    # Only what is about credentials or set-up may stop it; an event can cause neither.
    stopping = {code for code, kind in CODES.items() if issubclass(kind, (StopError, UsageError))}
    assert not stopping & {"NoSuchKey", "AccessDenied", "SlowDown", "InvalidBucketName", "KeyTooLongError"}
    assert {kind for kind in CODES.values() if issubclass(kind, StopError)} == {CredentialsRefused}
    assert set(CODES.values()) | set(STATUSES.values()) | {kind for _, kind in KINDS} <= set(HINTS)


def test_the_fallback_covers_the_base_class() -> None:
    assert isinstance(translate(BotoCoreError(), "x"), UsageError)
