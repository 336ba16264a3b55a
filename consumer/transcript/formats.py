"""Transcripts as files: plain text, JSON, SubRip and WebVTT subtitles."""

from __future__ import annotations

from typing import Literal, get_args

import orjson

from consumer.errors import UsageError
from consumer.events.transcript import Segment, Transcript
from consumer.transcript.cues import Cue, cues
from consumer.transcript.text import SENTENCE_ENDS, join_texts

Format = Literal["txt", "json", "srt", "vtt"]
FORMATS: tuple[Format, ...] = get_args(Format)

PAUSE_MS = 1_500
"""A silence this long between two segments begins a new paragraph."""
PARAGRAPH = 200
"""Characters after which a paragraph ends with its sentence."""


def render(transcript: Transcript, format: Format) -> str:  # noqa: A002 - the word users know
    """A transcript in one format, ending in a newline unless there is nothing to say.

    Raises:
        UsageError: subtitles of a transcript that carries no times.
    """
    if format == "json":
        return orjson.dumps(transcript.model_dump(mode="json"), option=orjson.OPT_INDENT_2).decode() + "\n"
    if format == "txt":
        return _txt(transcript)
    if transcript.text and not transcript.segments:
        raise UsageError(f"{format} needs times: ask for timestamps `sentence` or `word` instead of `none`")
    return _srt(transcript) if format == "srt" else _vtt(transcript)


def _split(transcript: Transcript) -> bool:
    """Whether its channels were transcribed apart, so that readers must be told who speaks."""
    return any(segment.channel for segment in transcript.segments)


def _txt(transcript: Transcript) -> str:
    if not transcript.segments:
        return f"{transcript.text}\n" if transcript.text else ""
    label = _label if _split(transcript) else _nobody
    paragraphs: list[str] = []
    before: Segment | None = None
    for segment in transcript.segments:
        if before is not None and _goes_on(before, segment, paragraphs[-1]):
            paragraphs[-1] = join_texts(paragraphs[-1], segment.text)
        else:
            paragraphs.append(label(segment.channel) + segment.text)
        before = segment
    return "".join(f"{paragraph}\n" for paragraph in paragraphs)


def _goes_on(before: Segment, segment: Segment, paragraph: str) -> bool:
    if segment.channel != before.channel or segment.start_ms - before.end_ms >= PAUSE_MS:
        return False
    return len(paragraph) < PARAGRAPH or not SENTENCE_ENDS.intersection(paragraph[-1:])


def _label(channel: int) -> str:
    """Channels as people count them."""
    return f"[{channel + 1}] "


def _voice(channel: int) -> str:
    return f"<v Channel {channel + 1}>"


def _nobody(_: int) -> str:
    return ""


def _srt(transcript: Transcript) -> str:
    label = _label if _split(transcript) else _nobody
    blocks = []
    for number, cue in enumerate(cues(transcript, label), start=1):
        text = label(cue.channel) + "\n".join(cue.lines)
        blocks.append(f"{number}\n{_times(cue, ',')}\n{text}\n")
    return "\n".join(blocks)


def _vtt(transcript: Transcript) -> str:
    voice = _voice if _split(transcript) else _nobody
    blocks = [f"{_times(cue, '.')}\n{voice(cue.channel)}{_escaped(cue)}\n" for cue in cues(transcript)]
    return "\n".join(["WEBVTT\n", *blocks])


def _escaped(cue: Cue) -> str:
    return "\n".join(cue.lines).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _times(cue: Cue, point: str) -> str:
    return f"{_clock(cue.start_ms, point)} --> {_clock(cue.end_ms, point)}"


def _clock(ms: int, point: str) -> str:
    seconds, ms = divmod(ms, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{seconds:02}{point}{ms:03}"
