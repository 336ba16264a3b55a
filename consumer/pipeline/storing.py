"""Which transcripts are stored instead of sent, and the event that is sent in their place. Pure but for its stage."""

from __future__ import annotations

from dataclasses import dataclass

from consumer.events.stored import StoredTranscript, record_bytes, reference
from consumer.events.transcript import Transcript
from consumer.stage import Stage


@dataclass(frozen=True, slots=True)
class Storing:
    """What a flow needs to store transcripts that are too large for the topic.

    Attributes:
        stage: writes them.
        limit: bytes of the largest record that is sent whole.
        ce_source: of CloudEvents headers, which count.
    """

    stage: Stage[Transcript, StoredTranscript]
    limit: int
    ce_source: str

    def fits(self, transcript: Transcript) -> bool:
        """Whether it may be sent as it is."""
        return record_bytes(transcript, self.ce_source) <= self.limit

    def event(self, transcript: Transcript, stored: StoredTranscript, *, refused: bool) -> Transcript:
        """What to send for a stored transcript: with its text if that leaves it within the limit.

        Args:
            transcript: the whole.
            stored: where it lies.
            refused: the broker takes less than the limit says, so it gets the least there is.
        """
        told = reference(transcript, stored, text=not refused)
        return told if refused or self.fits(told) else reference(transcript, stored, text=False)
