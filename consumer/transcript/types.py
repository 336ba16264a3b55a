"""What recognition yields, before it becomes an event. Times are integer milliseconds from the recording's start."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Word:
    """One Chinese character or one word of another language.

    Attributes:
        text: without punctuation.
        start_ms: where it begins.
        end_ms: where it ends; never before ``start_ms``.
        confidence: the model's probability of it, 0 to 1.
        mark: punctuation that follows it ("，", "。", "？", "、", or their ASCII twins), or "".
    """

    text: str
    start_ms: int
    end_ms: int
    confidence: float
    mark: str = ""


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of speech that voice activity detection found in one channel, with the words heard in it."""

    channel: int
    start_ms: int
    end_ms: int
    words: tuple[Word, ...]


@dataclass(frozen=True, slots=True)
class Recognition:
    """All that was heard in one recording; no spans at all when nobody spoke.

    Attributes:
        spans: by channel, then by time.
        speech_ms: length of all spans together.
        warnings: what the engine could not honour, for people to read.
    """

    spans: tuple[Span, ...]
    speech_ms: int
    warnings: tuple[str, ...] = ()
