"""What earlier runs of a replay or a redrive have written: it lies behind the ends that their target topics had."""

from __future__ import annotations

from collections.abc import Mapping

import typer

from consumer.kafka.records import Partition
from consumer.kafka.spans import Span, is_anew


def copies_since(
    began: str, topic: str, now: Mapping[Partition, Span], begun: Mapping[Partition, Span]
) -> dict[Partition, Span]:
    """Where the copies lie; says so when some of them may be gone.

    Args:
        began: what began then, as people are told.
        topic: that the copies were written to.
        now: all that it holds; nothing when it does not exist any more.
        begun: what it held then, and other topics.
    """
    copies, complete = written_since(now, {each: span for each, span in begun.items() if each[0] == topic})
    if not complete:
        typer.echo(
            f"tingxie: topic {topic} has dropped records, or was made anew, since {began}: "
            "some may be sent a second time; their transcripts have the same ids",
            err=True,
        )
    return copies


def written_since(now: Mapping[Partition, Span], begun: Mapping[Partition, Span]) -> tuple[dict[Partition, Span], bool]:
    """What was written to a topic since a time, and whether all of that is still there. Pure.

    A partition that the topic did not have then is new. One that is gone, or ends before the end it had, tells that
    the topic was made anew: then all that it holds was written since.

    Args:
        now: all that the topic holds.
        begun: what it held then.
    """
    anew = any(is_anew(each, span.end, now) for each, span in begun.items())
    ends = {each: 0 if anew or each not in begun else begun[each].end for each in now}
    spans = {each: Span(max(span.start, ends[each]), span.end) for each, span in now.items()}
    return spans, not anew and all(span.start <= ends[each] for each, span in now.items())


def before(copies: Mapping[Partition, Span]) -> dict[Partition, Span]:
    """Ends for the journal: those behind which the copies lie."""
    return {each: Span(span.start, span.start) for each, span in copies.items()}
