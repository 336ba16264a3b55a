"""What every error of the storage client means for a recording, in one place.

Codes are those of the S3 API reference and of the storages that speak it; a response without a body has
its status as code.
"""

from __future__ import annotations

from botocore import exceptions as boto
from urllib3.exceptions import HTTPError
from urllib3.exceptions import TimeoutError as Urllib3Timeout

from consumer.errors import (
    CredentialsRefused,
    EventInvalid,
    ObjectForbidden,
    ObjectMissing,
    StorageTimeout,
    StorageUnavailable,
    TingxieError,
    UsageError,
)

MISSING = "does not exist (any more)"
HINTS: dict[type[TingxieError], str] = {
    CredentialsRefused: "the storage refused the credentials; check storage.access_key_id and "
    "storage.secret_access_key, or the AWS credential chain, and storage.region",
    ObjectForbidden: "the storage denies it to these credentials",
    ObjectMissing: MISSING,
    EventInvalid: "is no name that a storage can hold",
    StorageUnavailable: "the storage failed to answer",
    StorageTimeout: "the storage did not answer in time",
    UsageError: "the storage client is not configured right; check the storage settings and the AWS configuration",
}

CODES: dict[str, type[TingxieError]] = {
    # The object, its version or its bucket is not there; 405 is a delete marker asked for by version.
    **dict.fromkeys(
        (
            "NoSuchKey",
            "NoSuchBucket",
            "NoSuchVersion",
            "NotFound",
            "404",
            "MethodNotAllowed",
            "405",
            "410",
            "PermanentRedirect",
            "301",
            "307",
            "KeyTooLongError",
            "NoSuchUpload",
        ),
        ObjectMissing,
    ),
    **dict.fromkeys(("InvalidBucketName", "InvalidURI", "InvalidObjectName"), EventInvalid),
    # An archived object has to be restored by its owner first: no number of tries does that.
    **dict.fromkeys(
        ("AccessDenied", "AllAccessDisabled", "AccountProblem", "Forbidden", "403", "InvalidObjectState"),
        ObjectForbidden,
    ),
    **dict.fromkeys(
        (
            "InvalidAccessKeyId",
            "SignatureDoesNotMatch",
            "ExpiredToken",
            "ExpiredTokenException",
            "TokenRefreshRequired",
            "InvalidToken",
            "InvalidSecurity",
            "InvalidClientTokenId",
            "UnrecognizedClientException",
            "MissingAuthenticationToken",
            "MissingSecurityHeader",
            "CredentialsNotSupported",
            "NotSignedUp",
            "RequestTimeTooSkewed",
            "RequestExpired",
            "AuthFailure",
            "XAdminUserNotFound",  # versitygw's word for an unknown access key, with status 404
            "AuthorizationHeaderMalformed",
            "AuthorizationQueryParametersError",
            "Unauthorized",
            "401",
        ),
        CredentialsRefused,
    ),
    **dict.fromkeys(
        (
            "SlowDown",
            "Throttling",
            "ThrottlingException",
            "ThrottledException",
            "TooManyRequests",
            "TooManyRequestsException",
            "RequestLimitExceeded",
            "BandwidthLimitExceeded",
            "RequestThrottled",
            "RequestThrottledException",
            "InternalError",
            "InternalServerError",
            "ServiceUnavailable",
            "Busy",
            "TemporaryRedirect",
            "OperationAborted",
            "429",
        ),
        StorageUnavailable,
    ),
    **dict.fromkeys(("RequestTimeout", "RequestTimeoutException", "408"), StorageTimeout),
}

STATUSES: dict[int, type[TingxieError]] = {
    401: CredentialsRefused,
    403: ObjectForbidden,
    404: ObjectMissing,
    405: ObjectMissing,
    408: StorageTimeout,
    410: ObjectMissing,
    429: StorageUnavailable,
}

KINDS: tuple[tuple[tuple[type[Exception], ...], type[TingxieError]], ...] = (
    # The first line that fits counts, so the narrower come first.
    ((boto.ReadTimeoutError, boto.ConnectTimeoutError, Urllib3Timeout, TimeoutError), StorageTimeout),
    (
        (
            boto.ConnectionError,
            boto.HTTPClientError,
            boto.IncompleteReadError,
            boto.ChecksumError,
            boto.FlexibleChecksumError,
            boto.CapacityNotAvailableError,
            boto.EventStreamError,
            HTTPError,
            ConnectionError,
        ),
        StorageUnavailable,
    ),
    (
        (
            boto.NoCredentialsError,
            boto.NoAuthTokenError,
            boto.TokenRetrievalError,
            boto.UnknownTokenProviderError,
            boto.PartialCredentialsError,
            boto.CredentialRetrievalError,
            boto.UnknownCredentialError,
            boto.RefreshWithMFAUnsupportedError,
            boto.MetadataRetrievalError,
            boto.SSOError,
            boto.LoginError,
            boto.InfiniteLoopConfigError,
        ),
        CredentialsRefused,
    ),
    (
        (
            # A bucket's name can be an ARN or a host label that the client refuses before it asks anybody.
            boto.ParamValidationError,
            boto.InvalidDNSNameError,
            boto.InvalidHostLabelError,
            boto.UnsupportedS3ArnError,
            boto.UnsupportedS3ControlArnError,
            boto.UnsupportedOutpostResourceError,
            boto.UnsupportedS3AccesspointConfigurationError,
            UnicodeError,
        ),
        EventInvalid,
    ),
    # All else the client library can raise is about how it was set up, not about a recording.
    ((boto.BotoCoreError, boto.UndefinedModelAttributeError), UsageError),
)

TRANSLATED = (boto.BotoCoreError, boto.ClientError, boto.UndefinedModelAttributeError, HTTPError, UnicodeError)
"""What a storage client may raise while it works; sockets' own errors come wrapped in one of these."""


def translate(error: Exception, name: str) -> TingxieError:
    """The error of this program that a library error stands for.

    Args:
        error: one of `TRANSLATED`, or an `OSError` of a socket.
        name: the object or bucket it is about, for the message.
    """
    kind = _kind(error)
    return kind(f"{name}: {HINTS[kind]} ({_detail(error)})")


def _kind(error: Exception) -> type[TingxieError]:
    if isinstance(error, boto.ClientError) and not isinstance(error, boto.EventStreamError):
        code = str(error.response.get("Error", {}).get("Code", ""))
        status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        return CODES.get(code) or STATUSES.get(status) or _unknown(code, status)
    return next((kind for types, kind in KINDS if isinstance(error, types)), StorageUnavailable)


def _unknown(code: str, status: int) -> type[TingxieError]:
    """A code nobody listed: 4xx blames the request, which will not get better; all else may pass."""
    if code == "InvalidArgument":
        return ObjectMissing  # a version id of another storage
    return ObjectForbidden if 400 <= status < 500 else StorageUnavailable


def _detail(error: Exception) -> str:
    if isinstance(error, boto.ClientError):
        fault = error.response.get("Error", {})
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", "no status")
        return " ".join(str(part) for part in (status, fault.get("Code"), fault.get("Message")) if part)
    return " ".join(f"{type(error).__name__}: {error}".split())
