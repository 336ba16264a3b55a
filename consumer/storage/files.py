"""Local files as recordings, for ``tingxie transcribe``."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from consumer.errors import ObjectEmpty, ObjectForbidden, ObjectMissing, ObjectTooLarge, UsageError
from consumer.events.recording import Recording
from consumer.settings import LimitSettings
from consumer.storage.objects import ObjectFetcher
from consumer.storage.spool import Spool
from consumer.transcript.types import StoredObject


class LocalFetcher:
    """Takes a recording without a bucket for a local file named by its key, and leaves the others to ``objects``.

    The pipeline removes what a fetcher hands out, so a local file appears in the spool as a symbolic link to it.
    """

    def __init__(self, objects: ObjectFetcher | None, limits: LimitSettings, spool: Spool) -> None:
        """Without ``objects`` only local files can be fetched."""
        self._objects = objects
        self._limit = limits.object_bytes
        self._spool = spool

    def fetch(self, recording: Recording) -> StoredObject:
        """Link a local file into the spool, or fetch an object. The ETag of a file is its change time and size.

        Raises:
            ObjectMissing: no such file.
            ObjectForbidden: a folder or another thing that is no regular file, or it may not be read.
            ObjectEmpty: it has no bytes.
            ObjectTooLarge: it is larger than ``limits.object_bytes``.
            UsageError: an object is asked for, but there is no storage to ask.
            TingxieError: for objects, as `ObjectFetcher.fetch`.
        """
        if recording.bucket:
            if self._objects is None:
                raise UsageError(f"s3://{recording.object_id}: no object storage is configured")
            return self._objects.fetch(recording)
        file = Path(recording.key).absolute()
        status = self._status(file)
        path = self._spool.new_path(".link")
        path.symlink_to(file)
        return StoredObject(
            path=path, size=status.st_size, etag=f"{status.st_mtime_ns:x}-{status.st_size:x}", version_id=None
        )

    def _status(self, file: Path) -> os.stat_result:
        try:
            status = file.stat()
        except PermissionError as error:
            raise ObjectForbidden(f"{file}: a folder above it may not be entered") from error
        except (OSError, ValueError) as error:
            raise ObjectMissing(f"{file}: no such file ({error})") from error
        if not stat.S_ISREG(status.st_mode):
            kind = "a folder" if stat.S_ISDIR(status.st_mode) else "no regular file"
            raise ObjectForbidden(f"{file}: this is {kind}; give audio files")
        try:
            file.open("rb").close()
        except OSError as error:
            raise ObjectForbidden(f"{file}: it may not be read ({error.strerror})") from error
        if status.st_size == 0:
            raise ObjectEmpty(f"{file}: the file has no bytes")
        if status.st_size > self._limit:
            raise ObjectTooLarge(f"{file}: more than limits.object_bytes ({self._limit:,} bytes)")
        return status
