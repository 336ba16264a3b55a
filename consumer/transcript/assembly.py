"""From what was heard to the transcript that is published.

1. The words of each span are cut into segments after every sentence end; a span's end always ends a segment. So a
   segment is an unbroken stretch of speech, at most one sentence long.
2. Segments are ordered by start, then channel, and numbered from 0.
3. ``text`` holds the segments in that order. Where the channel changes (recordings whose channels were split) a new
   line begins; otherwise spaces follow `consumer.transcript.text`.
4. Times are integers between 0 and the duration, and a channel's words never begin before the word before them.
5. Confidence is the mean over words, whatever their length: a word is what a reader may have to correct.
6. ``speech_ms`` counts a moment in which several channels speak once, so that it never exceeds ``duration_ms``. It is
   what voice activity detection found, also where no word was recognised in it.
7. A recording without a single word has the status ``no_speech``, empty text and confidence 0.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from consumer.events.recording import Options, Recording
from consumer.events.transcript import Model, Segment, Source, Transcript, transcript_id
from consumer.events.transcript import Timing as StageTiming
from consumer.events.transcript import Word as TranscriptWord
from consumer.transcript.text import SENTENCE_ENDS, join_words
from consumer.transcript.types import DecodedAudio, Recognition, Span, StoredObject, Timing, Word

CONFIDENCE_PLACES = 4
"""More would only make events longer."""


@dataclass(frozen=True, slots=True)
class _Stretch:
    """The words of one segment; at least one."""

    channel: int
    words: tuple[Word, ...]

    @property
    def start_ms(self) -> int:
        return self.words[0].start_ms

    @property
    def end_ms(self) -> int:
        return max(word.end_ms for word in self.words)


def assemble(
    recording: Recording,
    stored: StoredObject,
    audio: DecodedAudio,
    recognition: Recognition,
    timing: Timing,
) -> Transcript:
    """Build the transcript of one recording.

    Args:
        recording: what was asked for.
        stored: the object as the storage knows it.
        audio: what was decoded.
        recognition: what was heard, and by which models.
        timing: where the time went.
    """
    model = recognition.model
    stretches = _stretches(recognition.spans, audio.duration_ms)
    words = [word for stretch in stretches for word in stretch.words]
    options = recording.options
    return Transcript(
        id=transcript_id(recording, stored.etag, stored.version_id, model.revision),
        status="completed" if words else "no_speech",
        source=Source(
            bucket=recording.bucket,
            key=recording.key,
            version_id=stored.version_id,
            etag=stored.etag,
            size=stored.size,
            format=audio.format,
            codec=audio.codec,
            sample_rate=audio.sample_rate,
            channels=audio.channels,
        ),
        duration_ms=audio.duration_ms,
        speech_ms=_speech_ms(recognition.spans, audio.duration_ms),
        language=options.language,
        text=_text(stretches),
        confidence=_confidence(words),
        segments=_segments(stretches, options),
        model=Model(
            name=model.name,
            revision=model.revision,
            vad=model.vad,
            punctuation=model.punctuation,
            dtype=model.dtype,
        ),
        timing=StageTiming(
            queued_ms=timing.queued_ms,
            fetch_ms=timing.fetch_ms,
            decode_ms=timing.decode_ms,
            engine_ms=timing.engine_ms,
            total_ms=timing.total_ms,
        ),
        metadata=recording.metadata,
        warnings=(*audio.warnings, *recognition.warnings, *_unmet(options)),
    )


def _stretches(spans: Sequence[Span], duration_ms: int) -> list[_Stretch]:
    found: list[_Stretch] = []
    for channel, of_channel in itertools.groupby(sorted(spans, key=_channel_and_start), key=lambda span: span.channel):
        reached = 0
        for span in of_channel:
            words = _in_bounds(span.words, reached, duration_ms)
            reached = words[-1].start_ms if words else reached
            found += [_Stretch(channel, sentence) for sentence in _sentences(words)]
    return sorted(found, key=lambda stretch: (stretch.start_ms, stretch.channel))


def _channel_and_start(span: Span) -> tuple[int, int]:
    return span.channel, span.start_ms


def _in_bounds(words: Iterable[Word], reached: int, duration_ms: int) -> list[Word]:
    """Words with times in [0, duration], none beginning before the one before it."""
    kept: list[Word] = []
    for word in words:
        start = min(max(word.start_ms, reached), duration_ms)
        end = min(max(word.end_ms, start), duration_ms)
        same = (start, end) == (word.start_ms, word.end_ms)
        kept.append(word if same else replace(word, start_ms=start, end_ms=end))
        reached = start
    return kept


def _sentences(words: Sequence[Word]) -> Iterator[tuple[Word, ...]]:
    begin = 0
    for index, word in enumerate(words, start=1):
        if index == len(words) or SENTENCE_ENDS.intersection(word.mark):
            yield tuple(words[begin:index])
            begin = index


def _text(stretches: Sequence[_Stretch]) -> str:
    turns = itertools.groupby(stretches, key=lambda stretch: stretch.channel)
    return "\n".join(join_words(word for stretch in turn for word in stretch.words) for _, turn in turns)


def _segments(stretches: Sequence[_Stretch], options: Options) -> tuple[Segment, ...]:
    if options.timestamps == "none":
        return ()
    return tuple(
        Segment(
            id=number,
            channel=stretch.channel,
            start_ms=stretch.start_ms,
            end_ms=stretch.end_ms,
            text=join_words(stretch.words),
            confidence=_confidence(stretch.words),
            words=tuple(
                TranscriptWord(text=word.text, start_ms=word.start_ms, end_ms=word.end_ms) for word in stretch.words
            )
            if options.timestamps == "word"
            else (),
        )
        for number, stretch in enumerate(stretches)
    )


def _confidence(words: Sequence[Word]) -> float:
    if not words:
        return 0.0
    return round(sum(word.confidence for word in words) / len(words), CONFIDENCE_PLACES)


def _speech_ms(spans: Iterable[Span], duration_ms: int) -> int:
    """Length of the union of all spans, within the recording."""
    total = reached = 0
    for span in sorted(spans, key=lambda span: span.start_ms):
        start, end = max(span.start_ms, reached, 0), min(span.end_ms, duration_ms)
        if end > start:
            total += end - start
            reached = end
    return total


def _unmet(options: Options) -> tuple[str, ...]:
    """What the event asked for and this version does not do."""
    if not options.formats:
        return ()
    asked = ", ".join(options.formats)
    return (f"options.formats ({asked}): no files are stored; `tingxie transcribe --format` writes them",)
