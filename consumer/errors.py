"""Every error this program raises on purpose, as a small tree that says what to do.

::

    TingxieError
    ├── UsageError                 the caller is wrong: settings, arguments           (exit code 2)
    ├── StopError                  the process must stop; what is not ended stays     (exit code 1)
    │   ├── BrokerFatal            librdkafka declared the client dead
    │   ├── BrokerUnavailable      no broker answered, or a topic is missing
    │   ├── CredentialsRefused     broker or storage refused who we are
    │   ├── DeliveryFailed         a transcript or dead letter was not acknowledged
    │   ├── ModelUnavailable       a model folder or id does not load
    │   └── StageDied              a thread or process of the pipeline ended by itself
    └── RecordingError             one recording cannot go on; the service does
        ├── RetryError             passing trouble: try again, then dead-letter
        └── DeadLetterError        no second try can help: dead-letter at once

The ``code`` of a `RecordingError` is public: it is the ``class`` of dead-letter headers, log lines and metrics.
Adapters translate library errors into this tree at the edge, so that nothing above them knows a library's exceptions.
"""

from __future__ import annotations

import errno
from typing import ClassVar

NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})
"""What the system says of a disk that is full, or of the part of it that a user may fill."""


class TingxieError(Exception):
    """Base of all errors raised on purpose; its message is meant for a person."""


class UsageError(TingxieError):
    """Settings or arguments are wrong; the message names each and says what to do."""


class StopError(TingxieError):
    """The process must stop; whatever was not acknowledged stays uncommitted."""


class BrokerFatal(StopError):
    """The Kafka client reported a fatal error and cannot be used any more."""


class BrokerUnavailable(StopError):
    """No broker answered in time, or a topic this service needs does not exist."""


class CredentialsRefused(StopError):
    """The broker or the object storage refused the configured credentials."""


class DeliveryFailed(StopError):
    """A transcript or a dead letter was not acknowledged by the broker."""


class ModelUnavailable(StopError):
    """A model could not be found, downloaded, or loaded."""


class StageDied(StopError):
    """A worker thread or process of a pipeline stage ended without being told to."""


class RecordingError(TingxieError):
    """One recording cannot be transcribed (for now).

    Attributes:
        code: stable snake_case name of the cause.
        stage: pipeline stage at which it arose: ``event``, ``fetch``, ``decode``, ``engine``, ``store`` or
            ``publish``.
        retryable: whether another attempt may succeed.
    """

    code: ClassVar[str] = "recording_error"
    stage: ClassVar[str] = "event"
    retryable: ClassVar[bool] = False


class RetryError(RecordingError):
    """Passing trouble outside the recording itself."""

    retryable = True


class DeadLetterError(RecordingError):
    """The recording or its event is at fault; trying again cannot help."""


# --- event ---------------------------------------------------------------------------------------------------------


class EventNotJson(DeadLetterError):
    """The record's value is empty or no JSON document."""

    code = "event_not_json"


class EventUnknown(DeadLetterError):
    """The value is JSON, but of no dialect this service reads."""

    code = "event_unknown"


class EventInvalid(DeadLetterError):
    """The dialect is known, but a field is missing or has an impossible value."""

    code = "event_invalid"


class BucketNotAllowed(DeadLetterError):
    """The event names a bucket outside ``storage.allowed_buckets``."""

    code = "bucket_not_allowed"


# --- fetch ---------------------------------------------------------------------------------------------------------


class ObjectMissing(DeadLetterError):
    """The object, its version, or its bucket does not exist (any more)."""

    code = "object_missing"
    stage = "fetch"


class ObjectForbidden(DeadLetterError):
    """The storage knows us, but does not let us read this object."""

    code = "object_forbidden"
    stage = "fetch"


class ObjectEmpty(DeadLetterError):
    """The object holds no bytes."""

    code = "object_empty"
    stage = "fetch"


class ObjectTooLarge(DeadLetterError):
    """The object is larger than ``limits.object_bytes``."""

    code = "object_too_large"
    stage = "fetch"


class StorageUnavailable(RetryError):
    """The storage answered 5xx or throttled, the connection failed, or the body ended early."""

    code = "storage_unavailable"
    stage = "fetch"


class StorageTimeout(RetryError):
    """The storage did not answer within ``storage.connect_timeout_s`` or ``storage.read_timeout_s``."""

    code = "storage_timeout"
    stage = "fetch"


class SpoolFull(RetryError):
    """The disk under ``limits.spool_dir`` has no room for this recording now."""

    code = "spool_full"
    stage = "fetch"


# --- decode --------------------------------------------------------------------------------------------------------


class NotMedia(DeadLetterError):
    """The bytes are of no container or codec that can be decoded."""

    code = "not_media"
    stage = "decode"


class NoAudioStream(DeadLetterError):
    """A media file without sound."""

    code = "no_audio_stream"
    stage = "decode"


class AudioTooLong(DeadLetterError):
    """The audio is longer than ``limits.audio_seconds``."""

    code = "audio_too_long"
    stage = "decode"


class AudioUnsupported(DeadLetterError):
    """A sample rate or channel count outside the limits."""

    code = "audio_unsupported"
    stage = "decode"


class DecoderCrashed(DeadLetterError):
    """The decoder process died on this recording."""

    code = "decoder_crashed"
    stage = "decode"


class DecoderTimedOut(DeadLetterError):
    """The decoder did not finish within ``limits.decode_seconds``."""

    code = "decoder_timed_out"
    stage = "decode"


# --- engine --------------------------------------------------------------------------------------------------------


class DeviceMemoryExhausted(RetryError):
    """The device had no memory left for a batch that held this recording."""

    code = "device_memory_exhausted"
    stage = "engine"


class PoisonRecord(DeadLetterError):
    """The process died too often while it worked on this record, see ``retry.poison_deaths``."""

    code = "poison_record"
    stage = "engine"


# --- store ---------------------------------------------------------------------------------------------------------


class TranscriptBucketMissing(DeadLetterError):
    """The transcript is too large for an event, and ``storage.transcript_bucket`` does not exist."""

    code = "transcript_bucket_missing"
    stage = "store"


class TranscriptBucketForbidden(DeadLetterError):
    """The transcript is too large for an event, and ``storage.transcript_bucket`` may not be written."""

    code = "transcript_bucket_forbidden"
    stage = "store"


class TranscriptNotStored(RetryError):
    """The storage failed, throttled, or did not answer in time while it was given a transcript."""

    code = "transcript_not_stored"
    stage = "store"


# --- publish -------------------------------------------------------------------------------------------------------


class TranscriptTooLarge(DeadLetterError):
    """The broker refused the transcript because of its size."""

    code = "transcript_too_large"
    stage = "publish"
