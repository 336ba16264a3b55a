"""A recording in work: what was heard of each of its tracks so far."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field, replace

import torch

from consumer.engine.api import EngineJob
from consumer.engine.punctuation import PunctuatedText, apply_marks
from consumer.engine.vad import Speech, SpeechStream
from consumer.transcript.types import Span, Word


@dataclass(slots=True)
class TrackInWork:
    """One channel of a recording.

    Attributes:
        channel: its number.
        speech: its voice activity detection.
        found: spans of speech found so far, as (start, end) in milliseconds.
        mels: of each span that waits for the recogniser, its mel frames.
        words: of each span that does not, its words.
        tokens: all words as the punctuation model reads them, once `text` is there.
        text: its punctuation; None before that begins, without a punctuation model, and without words.
    """

    channel: int
    speech: SpeechStream
    found: list[tuple[int, int]] = field(default_factory=list)
    mels: dict[int, torch.Tensor] = field(default_factory=dict)
    words: dict[int, tuple[Word, ...]] = field(default_factory=dict)
    tokens: list[str] = field(default_factory=list)
    text: PunctuatedText | None = None

    def take_in(self, speech: Speech) -> int:
        """Keep a span until it is recognised; its index."""
        index = len(self.found)
        self.found.append((speech.start_ms, speech.end_ms))
        self.mels[index] = speech.mel
        return index

    def recognised(self, index: int, words: tuple[Word, ...]) -> None:
        """Take in the words of a span."""
        self.words[index] = words
        del self.mels[index]

    def all_words(self) -> list[Word]:
        """The words of all spans, in time; every span was recognised."""
        return [word for index in range(len(self.found)) for word in self.words[index]]

    def spans(self) -> list[Span]:
        """The spans in which a word was heard, with the punctuation of the whole text."""
        words = self.all_words()
        if self.text is not None:
            marked = apply_marks([word.text for word in words], self.tokens, self.text.marks)
            words = [
                # Most words are as they were: hours of speech have hundreds of thousands.
                word if (to.text, to.mark) == (word.text, word.mark) else replace(word, text=to.text, mark=to.mark)
                for word, to in zip(words, marked, strict=True)
            ]
        spans, used = [], 0
        for index, (start, end) in enumerate(self.found):
            count = len(self.words[index])
            if count:
                spans.append(Span(self.channel, start, end, tuple(words[used : used + count])))
            used += count
        return spans


@dataclass(slots=True)
class RecordingInWork:
    """A recording.

    Attributes:
        tag: its name among those in work.
        job: what is asked for.
        began: when it was taken up, on the engine's clock.
        tracks: its channels.
        waiting_segments: how many spans wait for the recogniser.
    """

    tag: Hashable
    job: EngineJob
    began: float
    tracks: list[TrackInWork]
    waiting_segments: int = 0

    @property
    def unheard(self) -> int | None:
        """The track to go on listening to; None when all were heard."""
        return next((at for at, track in enumerate(self.tracks) if not track.speech.done), None)

    @property
    def next_ms(self) -> int:
        """How much of it is heard next, in milliseconds."""
        return 0 if self.unheard is None else self.tracks[self.unheard].speech.next_ms

    @property
    def unpunctuated(self) -> list[PunctuatedText]:
        """The texts whose punctuation is not complete."""
        return [track.text for track in self.tracks if track.text is not None and not track.text.done]
