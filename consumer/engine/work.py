"""The recordings in work, and what is done for them next: everything of the engine but its thread.

Work goes in rounds, and every part of a round is bounded, so that a recording that comes in meanwhile is never more
than a round away from its turn however long the others are:

1. voice activity detection, a minute of audio at a time: new recordings first, then until a batch is full;
2. one batch of segments, of all recordings together;
3. punctuation of recordings whose segments are all recognised, a window of each at a time, for as long as the batch
   took.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from consumer.engine.api import EngineJob
from consumer.engine.batcher import Batcher, Segment
from consumer.errors import DeviceMemoryExhausted, RecordingError
from consumer.stage import Outcome
from consumer.transcript.types import SAMPLE_RATE, Recognition, Span, Track, Word

if TYPE_CHECKING:
    from consumer.engine.features import Samples
    from consumer.engine.load import Models
    from consumer.engine.punctuation import PunctuatedText
    from consumer.engine.vad import SpeechStream

HEARD_A_ROUND_MS = 240_000
"""Most audio that voice activity detection hears in a round, give or take a block: about two seconds of a CPU core."""
HEARD_AT_LEAST_MS = 1000
"""What a block counts at least, however short the recording is."""
WAVE_TOKENS = 8192
"""Most tokens in a wave of punctuation, padding included."""
LANGUAGES = ("zh", "en")
"""What the models were trained on."""
_SAMPLES_PER_MS = SAMPLE_RATE // 1000


@dataclass(slots=True)
class _TrackInWork:
    channel: int
    samples: Samples
    speech: SpeechStream
    spans: list[tuple[int, int]] = field(default_factory=list)
    words: dict[int, tuple[Word, ...]] = field(default_factory=dict)
    tokens: list[str] = field(default_factory=list)
    text: PunctuatedText | None = None

    def all_words(self) -> list[Word]:
        return [word for index in range(len(self.spans)) for word in self.words[index]]


@dataclass(slots=True)
class _InWork:
    tag: Hashable
    job: EngineJob
    began: float
    tracks: list[_TrackInWork]
    waiting_segments: int = 0

    @property
    def listening(self) -> bool:
        return any(not track.speech.done for track in self.tracks)

    @property
    def unpunctuated(self) -> list[PunctuatedText]:
        return [track.text for track in self.tracks if track.text is not None and not track.text.done]


class Work:
    """All recordings in work; one thread uses it.

    Args:
        models: the loaded models.
        batch_seconds: most audio in a batch, padding included.
        clock: seconds, monotonic.
    """

    def __init__(self, models: Models, batch_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._models = models
        self._clock = clock
        self._batcher = Batcher(int(batch_seconds * 1000))
        self._recordings: dict[Hashable, _InWork] = {}
        self._new: deque[Hashable] = deque()  # not a block heard yet
        self._listening: deque[Hashable] = deque()
        self._punctuating: deque[Hashable] = deque()
        self._ended: list[Outcome[Recognition]] = []
        self._batch_s = 0.0  # how long the last batch took
        self.batch_tags: tuple[Hashable, ...] = ()
        """Recordings that are worked on right now, for an error message."""

    def __bool__(self) -> bool:
        """Whether there is anything to do."""
        return bool(self._recordings)

    def begin(self, tag: Hashable, job: EngineJob) -> None:
        """Take a recording up."""
        self.batch_tags = (tag,)
        tracks = []
        for track in job.tracks:
            samples = read_track(track)
            tracks.append(_TrackInWork(track.channel, samples, self._models.detector.open(samples)))
        self._recordings[tag] = _InWork(tag, job, self._clock(), tracks)
        self._new.append(tag)

    def drop(self, tag: Hashable) -> bool:
        """Forget a recording, nothing more is heard of it; false when it is not in work."""
        if self._recordings.pop(tag, None) is None:
            return False
        self._batcher.discard(tag)
        for line in (self._new, self._listening, self._punctuating):
            if tag in line:
                line.remove(tag)
        return True

    def round(self) -> list[Outcome[Recognition]]:
        """Do a round of work; the recordings that ended in it."""
        self._listen()
        self._recognise_batch()
        self._punctuate()
        ended, self._ended = self._ended, []
        return ended

    # --- voice activity detection ---------------------------------------------------------------------------------

    def _listen(self) -> None:
        heard_ms = 0
        while heard_ms < HEARD_A_ROUND_MS:
            if self._new:
                tag = self._new.popleft()
            elif self._listening and self._batcher.waiting_ms < self._batcher.limit_ms:
                tag = self._listening.popleft()
            else:
                return
            heard_ms += max(self._listen_to(self._recordings[tag]), HEARD_AT_LEAST_MS)

    def _listen_to(self, recording: _InWork) -> int:
        """Hear the next block of a recording; how much that was, in milliseconds."""
        heard_ms = 0
        self.batch_tags = (recording.tag,)
        at, track = next(((at, track) for at, track in enumerate(recording.tracks) if not track.speech.done), (0, None))
        if track is not None:
            first = len(track.spans)
            heard_ms = track.speech.next_ms
            track.spans += track.speech.advance()
            found = [
                Segment(end - start, recording.tag, at, first + index)
                for index, (start, end) in enumerate(track.spans[first:])
            ]
            recording.waiting_segments += len(found)
            self._batcher.add(found)
        if recording.listening:
            self._listening.append(recording.tag)
        else:
            self._maybe_complete(recording)
        return heard_ms

    # --- recognition ----------------------------------------------------------------------------------------------

    def _recognise_batch(self) -> None:
        began = self._clock()
        batch = self._batcher.take()
        if batch:
            self._recognise(batch)
        self._batch_s = self._clock() - began

    def _recognise(self, batch: list[Segment]) -> None:
        """Recognise a batch; where the device has no room for it, half of it at a time."""
        import torch  # noqa: PLC0415 - loaded by now, see consumer.engine.load

        batch = [segment for segment in batch if segment.recording in self._recordings]
        if not batch:
            return
        self.batch_tags = tuple(dict.fromkeys(segment.recording for segment in batch))
        spans = [self._track_of(segment).spans[segment.index] for segment in batch]
        try:
            heard = self._models.recogniser.recognise(
                [
                    self._track_of(segment).samples[start * _SAMPLES_PER_MS : end * _SAMPLES_PER_MS]
                    for segment, (start, end) in zip(batch, spans, strict=True)
                ],
                [start for start, _ in spans],
            )
        except torch.OutOfMemoryError as cause:
            heard = None
            reason = str(cause).splitlines()[0] if str(cause) else "no further reason given"
        if heard is None:  # outside of the handler, whose traceback would keep the batch's memory
            self._recover(batch, reason)
            return
        for segment, words in zip(batch, heard, strict=True):
            self._track_of(segment).words[segment.index] = words
            recording = self._recordings[segment.recording]
            recording.waiting_segments -= 1
            self._maybe_complete(recording)

    def _recover(self, batch: list[Segment], reason: str) -> None:
        import torch  # noqa: PLC0415 - loaded by now, see consumer.engine.load

        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        if len(batch) == 1:
            error = DeviceMemoryExhausted(
                f"The device has no memory for a segment of {batch[0].length_ms / 1000:.1f} s by itself ({reason}). "
                "Use a device with more memory, or end what else runs on it."
            )
            self._end(self._recordings[batch[0].recording], error)
            return
        half = len(batch) // 2
        self._recognise(batch[:half])
        self._recognise(batch[half:])

    def _track_of(self, segment: Segment) -> _TrackInWork:
        return self._recordings[segment.recording].tracks[segment.track]

    # --- punctuation and the end ----------------------------------------------------------------------------------

    def _maybe_complete(self, recording: _InWork) -> None:
        """Go on to punctuation when every segment of every track was recognised."""
        if recording.listening or recording.waiting_segments:
            return
        self._batcher.discard(recording.tag)
        punctuator = self._models.punctuator
        for track in recording.tracks:
            words = [word.text for word in track.all_words()]
            if punctuator is not None and words:
                track.tokens, track.text = punctuator.begin(words)
        self._punctuating.append(recording.tag)

    def _punctuate(self) -> None:
        until = self._clock() + self._batch_s
        self._end_punctuated()
        while self._punctuating and self._models.punctuator is not None:
            self._models.punctuator.advance(self._next_wave())
            self._end_punctuated()
            if self._clock() >= until:
                return

    def _next_wave(self) -> list[PunctuatedText]:
        """The texts to punctuate next, of the recordings that have waited longest."""
        wave: list[PunctuatedText] = []
        tags: dict[Hashable, None] = {}
        width = 0
        waiting = ((tag, text) for tag in self._punctuating for text in self._recordings[tag].unpunctuated)
        for tag, text in waiting:
            width = max(width, len(text.window()))
            if wave and (len(wave) + 1) * width > WAVE_TOKENS:
                break
            wave.append(text)
            tags[tag] = None
        self.batch_tags = tuple(tags)
        return wave

    def _end_punctuated(self) -> None:
        for tag in [tag for tag in self._punctuating if not self._recordings[tag].unpunctuated]:
            recording = self._recordings[tag]
            self._end(recording, self._recognition(recording))

    def _recognition(self, recording: _InWork) -> Recognition:
        spans = [span for track in recording.tracks for span in _spans_of(track)]
        return Recognition(tuple(spans), tuple(self._warnings(recording.job)))

    def _warnings(self, job: EngineJob) -> list[str]:
        warnings = []
        if job.hotwords:
            name = self._models.info.name
            warnings.append(f"{len(job.hotwords)} hotwords were not used: the model {name} is run without any.")
        if job.language.lower().split("-")[0] not in LANGUAGES:
            warnings.append(f"language {job.language!r} was not used: the models know {' and '.join(LANGUAGES)} only.")
        return warnings

    def _end(self, recording: _InWork, value: Recognition | RecordingError) -> None:
        elapsed_ms = int(1000 * (self._clock() - recording.began))
        self.drop(recording.tag)
        self._ended.append(Outcome(recording.tag, value, elapsed_ms))


def _spans_of(track: _TrackInWork) -> list[Span]:
    """A track's spans in which a word was heard, with the punctuation of its whole text."""
    words = track.all_words()
    if track.text is not None:
        from consumer.engine.punctuation import apply_marks  # noqa: PLC0415 - loaded by now

        marked = apply_marks([word.text for word in words], track.tokens, track.text.marks)
        words = [replace(word, text=to.text, mark=to.mark) for word, to in zip(words, marked, strict=True)]
    spans, used = [], 0
    for index, (start, end) in enumerate(track.spans):
        count = len(track.words[index])
        if count:
            spans.append(Span(track.channel, start, end, tuple(words[used : used + count])))
        used += count
    return spans


def read_track(track: Track) -> Samples:
    """A track's samples, memory-mapped: only what is worked on is ever in memory."""
    if track.samples == 0:
        return np.empty(0, dtype="<i2")
    return np.memmap(Path(track.path), dtype="<i2", mode="r", shape=(track.samples,))
