"""The recordings in work, and what is done for them next: everything of the engine but its thread.

Work goes in rounds, and every part of a round is bounded, so that a recording that comes in meanwhile is never more
than a round away from its turn however long the others are:

1. voice activity detection in the first minute of new recordings, so that they are in the next batch;
2. a batch of segments, of all recordings together, begins;
3. the words of the batch before are fetched;
4. voice activity detection in the next minute of other recordings, until there is enough to choose a batch from;
5. the batch goes on to its tokens;
6. punctuation of recordings whose segments are all recognised, a window of each at a time, for as long as the rest of
   the round took.

On a GPU the batch is in work all the while, and 3, 4 and 6 are what the host does meanwhile. On a CPU there is nobody
else to do it, so a batch is finished in its own round.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Hashable

import torch

from consumer.engine.api import EngineJob, EngineObserver
from consumer.engine.batcher import Batcher, Segment
from consumer.engine.device import no_memory, reason_of
from consumer.engine.in_work import RecordingInWork, TrackInWork
from consumer.engine.line import RecogniserLine, Waiting
from consumer.engine.load import Models
from consumer.engine.punctuation import PunctuatedText
from consumer.engine.samples import read_track
from consumer.engine.vad import Speech
from consumer.errors import RecordingError
from consumer.stage import Outcome
from consumer.transcript.types import ModelInfo, Recognition

HEARD_A_ROUND_MS = 240_000
"""Most audio that voice activity detection hears in a round, give or take a block: a third of a second on a CPU."""
HEARD_AT_LEAST_MS = 1000
"""What a block counts at least, however short the recording is."""
AHEAD = 10
"""So many batches' worth of speech may wait before a recording is heard further. The more there is to choose from, the
closer in length are the segments of a batch, and the more of them there are."""
WAITING_MS = 1_800_000
"""With so much speech waiting, 58 MB of features, new recordings wait too: it would not be recognised sooner."""
WAVE_TOKENS = 8192
"""Most tokens in a wave of punctuation, padding included."""
LANGUAGES = ("zh", "en")
"""What the models were trained on."""


class Work:
    """All recordings in work; one thread uses it.

    Args:
        models: the loaded models.
        batch_seconds: most audio in a batch, padding included.
        patience_s: how long speech may wait for more to fill its batch.
        overlap: begin the next batch before the words of this one are fetched.
        clock: seconds, monotonic.
        observer: told of every batch.
    """

    def __init__(
        self,
        models: Models,
        batch_seconds: float,
        patience_s: float = 0.0,
        *,
        overlap: bool = False,
        clock: Callable[[], float] = time.monotonic,
        observer: EngineObserver | None = None,
    ) -> None:
        self._models = models
        self._observer = observer or EngineObserver()
        self._overlap = overlap
        self._clock = clock
        self._batcher = Batcher(int(batch_seconds * 1000), patience_s)
        self._line = RecogniserLine(models.recogniser, self._batcher.bound, clock)
        self._recordings: dict[Hashable, RecordingInWork] = {}
        self._new: deque[Hashable] = deque()  # not a block heard yet
        self._listening: deque[Hashable] = deque()
        self._punctuating: deque[Hashable] = deque()
        self._ended: list[Outcome[Recognition]] = []
        self.batch_tags: tuple[Hashable, ...] = ()
        """Recordings that are worked on right now, for an error message."""

    def __bool__(self) -> bool:
        """Whether there is anything to do."""
        return bool(self._recordings)

    @property
    def model(self) -> ModelInfo:
        """Which models hear what is begun here."""
        return self._models.info

    def begin(self, tag: Hashable, job: EngineJob) -> None:
        """Take a recording up."""
        self.batch_tags = (tag,)
        tracks = [TrackInWork(track.channel, self._models.detector.open(read_track(track))) for track in job.tracks]
        self._recordings[tag] = RecordingInWork(tag, job, self._clock(), tracks)
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

    def idle_s(self) -> float:
        """For how long there is nothing to do unless a recording comes in, in seconds; infinity until one does."""
        if self._new or self._listening or self._punctuating or self._line:
            return 0.0
        now = self._clock()
        return max(0.0, self._batcher.due(now) - now)

    def round(self) -> list[Outcome[Recognition]]:
        """Do a round of work; the recordings that ended in it."""
        began = self._clock()
        self._listen(new_only=True)
        self._begin_batch(self._clock())
        self._fetch_words()
        self._listen()
        self.batch_tags = self._line.recordings
        self._line.decide()
        if not self._overlap:
            self._fetch_words()
        self._punctuate(until=2 * self._clock() - began)
        ended, self._ended = self._ended, []
        return ended

    # --- voice activity detection ---------------------------------------------------------------------------------

    def _listen(self, *, new_only: bool = False) -> None:
        heard_ms = 0
        while heard_ms < HEARD_A_ROUND_MS:
            due = self._due(HEARD_A_ROUND_MS - heard_ms, new_only=new_only)
            if not due:
                return
            heard_ms += sum(map(_counted_ms, due))
            self._hear(due)

    def _due(self, room_ms: int, *, new_only: bool) -> list[RecordingInWork]:
        """Take the recordings to hear next out of their lines: new ones, and others while little speech waits."""
        due: list[RecordingInWork] = []
        planned_ms = 0
        while planned_ms < room_ms:
            waiting_ms = self._batcher.waiting_ms + planned_ms
            if self._new and waiting_ms < max(WAITING_MS, AHEAD * self._batcher.bound.most_ms):
                tag = self._new.popleft()
            elif self._listening and not new_only and waiting_ms < AHEAD * self._batcher.bound.most_ms:
                tag = self._listening.popleft()
            else:
                break
            due.append(self._recordings[tag])
            planned_ms += _counted_ms(due[-1])
        return due

    def _hear(self, due: list[RecordingInWork]) -> None:
        """Hear the next block of each of some recordings."""
        self.batch_tags = tuple(recording.tag for recording in due)
        heard = [(recording, at) for recording in due if (at := recording.unheard) is not None]
        try:
            with self._models.beside():
                found = self._models.detector.advance([recording.tracks[at].speech for recording, at in heard])
        except torch.OutOfMemoryError as cause:
            error = no_memory(f"to find speech in {len(heard)} recordings", reason_of(cause))
            for recording in due:
                self._end(recording, error)
            return
        for (recording, at), speech in zip(heard, found, strict=True):
            self._take_in(recording, at, speech)
        for recording in due:
            if recording.unheard is None:
                self._maybe_complete(recording)
            else:
                self._listening.append(recording.tag)

    def _take_in(self, recording: RecordingInWork, at: int, speech: list[Speech]) -> None:
        """Let what was heard on a track wait for the recogniser."""
        track = recording.tracks[at]
        self._batcher.add(
            (Segment(span.end_ms - span.start_ms, recording.tag, at, track.take_in(span)) for span in speech),
            self._clock(),
        )
        recording.waiting_segments += len(speech)

    # --- recognition ----------------------------------------------------------------------------------------------

    def _begin_batch(self, now: float) -> None:
        """Let the recogniser begin with the next batch, if one is due."""
        if self._batcher.due(now) > now:
            return
        batch = []
        for segment in self._batcher.take(now):
            track = self._recordings[segment.recording].tracks[segment.track]
            batch.append(Waiting(segment, track.mels[segment.index], track.found[segment.index][0]))
        self.batch_tags = tuple(dict.fromkeys(waiting.segment.recording for waiting in batch))
        self._observer.batch([waiting.segment.length_ms for waiting in batch])
        self._line.begin(batch)

    def _fetch_words(self) -> None:
        """Take in the words of the batch whose tokens are decided."""
        for segment, words in self._line.fetch():
            recording = self._recordings.get(segment.recording)
            if recording is None:  # dropped meanwhile
                continue
            if isinstance(words, RecordingError):
                self._end(recording, words)
                continue
            recording.tracks[segment.track].recognised(segment.index, words)
            recording.waiting_segments -= 1
            self._maybe_complete(recording)

    # --- punctuation and the end ----------------------------------------------------------------------------------

    def _maybe_complete(self, recording: RecordingInWork) -> None:
        """Go on to punctuation when every segment of every track was recognised."""
        if recording.unheard is not None or recording.waiting_segments:
            return
        self._batcher.discard(recording.tag)
        punctuator = self._models.punctuator
        for track in recording.tracks:
            words = [word.text for word in track.all_words()]
            if punctuator is not None and words:
                track.tokens, track.text = punctuator.begin(words)
        self._punctuating.append(recording.tag)

    def _punctuate(self, until: float) -> None:
        self._end_punctuated()
        while self._punctuating and self._models.punctuator is not None:
            with self._models.beside():
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

    def _recognition(self, recording: RecordingInWork) -> Recognition:
        spans = [span for track in recording.tracks for span in track.spans()]
        return Recognition(tuple(spans), self._models.info, tuple(self._warnings(recording.job)))

    def _warnings(self, job: EngineJob) -> list[str]:
        warnings = []
        if job.hotwords:
            name = self._models.info.name
            warnings.append(f"{len(job.hotwords)} hotwords were not used: the model {name} is run without any.")
        if job.language.lower().split("-")[0] not in LANGUAGES:
            warnings.append(f"language {job.language!r} was not used: the models know {' and '.join(LANGUAGES)} only.")
        return warnings

    def _end(self, recording: RecordingInWork, value: Recognition | RecordingError) -> None:
        elapsed_ms = int(1000 * (self._clock() - recording.began))
        self.drop(recording.tag)
        self._ended.append(Outcome(recording.tag, value, elapsed_ms))


def _counted_ms(recording: RecordingInWork) -> int:
    return max(recording.next_ms, HEARD_AT_LEAST_MS)
