"""Where ``tingxie transcribe`` writes: standard output, or a folder."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Protocol, TextIO

from consumer.errors import TingxieError
from consumer.events.transcript import Transcript
from consumer.transcript.formats import Format, render


class OutputError(TingxieError):
    """A transcript could not be written; the others can."""


class Output(Protocol):
    """Takes transcripts in the order of the inputs."""

    def write(self, number: int, name: str, transcript: Transcript) -> None:
        """Write the transcript of input ``number``; raises `OutputError`."""


class StreamOutput:
    """Writes to a stream: JSON one document a line, text under a header when there are several, as ``head`` does."""

    def __init__(self, stream: TextIO, form: Format, *, several: bool) -> None:
        self._stream = stream
        self._form = form
        self._several = several
        self._begun = False

    def write(self, number: int, name: str, transcript: Transcript) -> None:
        """Write at once, so that a reader at the other end of a pipe sees it now."""
        if self._form == "json":
            text = transcript.to_bytes().decode() + "\n"
        else:
            text = render(transcript, self._form)
            if self._several:
                gap = "\n" if self._begun else ""
                text = f"{gap}==> {name} <==\n{text}"
        self._begun = True
        self._stream.write(text)
        self._stream.flush()


class FolderOutput:
    """Writes a file for each format, and its path to a stream."""

    def __init__(
        self, folder: Path, formats: Sequence[Format], relatives: Sequence[PurePosixPath], stream: TextIO
    ) -> None:
        self._folder = folder
        self._formats = formats
        self._names = output_names(relatives)
        self._stream = stream

    def write(self, number: int, name: str, transcript: Transcript) -> None:
        """Write all formats; a file of an earlier call of the command is replaced."""
        for form in self._formats:
            path = self._folder / f"{self._names[number]}.{form}"
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(render(transcript, form), encoding="utf-8")
            except OSError as error:
                raise OutputError(f"{path}: cannot be written ({error.strerror}); see --output") from error
            self._stream.write(f"{path}\n")
            self._stream.flush()


def output_names(relatives: Sequence[PurePosixPath]) -> list[PurePosixPath]:
    """A name without format for each input, no two alike: ``talk``, else ``talk.mp3``, else ``talk.mp3-2``.

    Names that differ only in case count as alike, since some file systems cannot tell them apart.
    """
    short = [path.with_suffix("") for path in relatives]
    counts = Counter(_alike(path) for path in short)
    wanted = [path if counts[_alike(brief)] > 1 else brief for path, brief in zip(relatives, short, strict=True)]
    taken: set[str] = set()
    names = []
    for name in wanted:
        candidate, copy = name, 1
        while _alike(candidate) in taken:
            copy += 1
            candidate = name.with_name(f"{name.name}-{copy}")
        taken.add(_alike(candidate))
        names.append(candidate)
    return names


def _alike(path: PurePosixPath) -> str:
    return str(path).casefold()
