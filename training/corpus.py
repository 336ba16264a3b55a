"""Draws sentences: a template grammar, free combinations of words, hand-written sentences, and word salad.

A sentence is a string with its punctuation, such as `今天下雨，我们不去公园。`. An utterance is one or several
sentences that are spoken in one recording, with a pause between them.
"""

from __future__ import annotations

import logging
import random
import re
import zlib
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import jieba  # type: ignore[import-untyped]
import yaml
from jieba import posseg

from training import vocabulary

SLOT = re.compile(r"\{(\w+)\}")
DIGITS = "零一二三四五六七八九"
COUNTING = "一二三四五六七八九"
MONTHS: Sequence[str] = (*COUNTING, "十", "十一", "十二")
MAGNITUDES = ("百", "千", "万")
MEASURES = (*"元个次张份件杯本首天年月周家步口", "分钟", "公里")
# Shared between training and held-out grammar sentences by a checksum of their text, one in this many held out.
HELD_OUT_EVERY = 20
# How often a word of a hand-written sentence gives way to another, and those that are exchanged among themselves.
EXCHANGED_SHARE = 0.3
PRONOUNS = ("我", "你", "他", "我们", "你们", "他们", "大家")
# Characters that join the words of a salad, so that they are heard next to anything.
GLUE = "的的了得是在有不很给对过"


@cache
def templates() -> Mapping[str, Any]:
    """The parsed `templates.yaml`; a template that spells a character outside the vocabulary is an error."""
    parsed: dict[str, Any] = yaml.safe_load(vocabulary.text_file("templates.yaml"))
    free = [template for kind in ("statements", "questions", "words") for template in parsed["free"][kind]]
    for template in [*(t for group in parsed["grammar"]["groups"] for t in group), *free]:
        if outside := vocabulary.foreign_characters(SLOT.sub("", template)):
            raise ValueError(f"templates.yaml: {template} needs {outside}")
    return parsed


@cache
def handwritten(name: str) -> tuple[str, ...]:
    """The sentences of `sentences.txt` or `held_out.txt`."""
    sentences = tuple(line for line in vocabulary.text_file(name).splitlines() if line)
    for sentence in sentences:
        if outside := vocabulary.foreign_characters(sentence):
            raise ValueError(f"{name}: {sentence} needs {outside}")
    return sentences


@cache
def held_out() -> frozenset[str]:
    """The free sentences kept for the test, without marks."""
    return frozenset(vocabulary.strip_marks(sentence) for sentence in handwritten("held_out.txt"))


def is_held_out(sentence: str) -> bool:
    """Whether a sentence belongs to the test: a hand-written one, or one in twenty by the checksum of its text."""
    text = vocabulary.strip_marks(sentence)
    return text in held_out() or zlib.crc32(text.encode()) % HELD_OUT_EVERY == 0


def _digits(rng: random.Random) -> str:
    return "".join(rng.choice(DIGITS) for _ in range(rng.randint(2, 11)))


def _tens(rng: random.Random) -> str:
    return rng.choice(COUNTING[1:]) + "十" + rng.choice(COUNTING)


def _amount(rng: random.Random) -> str:
    head, unit = rng.choice(COUNTING), rng.choice(MAGNITUDES)
    tail = rng.choice(["", rng.choice(COUNTING) + "十", "零" + rng.choice(COUNTING), _tens(rng)])
    return head + unit + tail


def _number(rng: random.Random) -> str:
    return rng.choice([_tens(rng), _amount(rng), rng.choice(COUNTING), "十" + rng.choice(COUNTING)])


def _month(rng: random.Random) -> str:
    return rng.choice(MONTHS)


def _day(rng: random.Random) -> str:
    return rng.choice(["", "十", "二十", "三十"]) + rng.choice("一二三四五六七八九")


GENERATED: Mapping[str, Callable[[random.Random], str]] = {
    "digits": _digits,
    "tens": _tens,
    "amount": _amount,
    "number": _number,
    "month": _month,
    "day": _day,
    "measure": lambda rng: rng.choice(MEASURES),
}


def fill(template: str, section: str, rng: random.Random) -> str:
    """`template` with each slot replaced by a random word of it."""
    lexicon = vocabulary.lexicon()

    def word(match: re.Match[str]) -> str:
        slot = match[1]
        if slot in GENERATED:
            return GENERATED[slot](rng)
        if slot in vocabulary.PART_OF_SPEECH:
            words, weights = vocabulary.words_tagged(slot)
            return rng.choices(words, weights)[0]
        return rng.choice(lexicon[section].get(slot) or lexicon["free"][slot])

    return SLOT.sub(word, template)


def grammar_sentence(rng: random.Random) -> str:
    """One sentence of the business grammar: an opener perhaps, then one clause, sometimes two."""
    grammar = templates()["grammar"]

    def clause() -> str:
        group = rng.choices(grammar["groups"], grammar["weights"])[0]
        return fill(rng.choice(group), "grammar", rng)

    opener = rng.choice(vocabulary.lexicon()["grammar"]["opener"]) + "，" if rng.random() < 0.35 else ""
    first = clause()[:-1] + "，" if rng.random() < 0.12 else ""
    return opener + first + clause()


def template_sentence(rng: random.Random) -> str:
    """One sentence of the free templates, which combine all words."""
    kind = rng.choices(("statements", "questions", "words"), (50, 22, 28))[0]
    return fill(rng.choice(templates()["free"][kind]), "free", rng)


def salad(rng: random.Random, least: int = 2, most: int = 8) -> str:
    """Words in no order, each chosen to contain a character that is drawn evenly from the vocabulary."""
    words = []
    for _ in range(rng.randint(least, most)):
        choices, weights = vocabulary.words_containing(rng.choice(vocabulary.characters()))
        words.append(rng.choices(choices, weights)[0])
        if rng.random() < 0.25:
            words.append(rng.choice(GLUE))
    return "".join(words) + "。"


def handwritten_sentence(rng: random.Random) -> str:
    """One of the hand-written training sentences."""
    return rng.choice(handwritten("sentences.txt"))


@cache
def tagged_sentences() -> tuple[tuple[tuple[str, str], ...], ...]:
    """The hand-written training sentences as (word, part of speech) pairs."""
    jieba.setLogLevel(logging.WARNING)
    return tuple(
        tuple((token.word, token.flag) for token in posseg.cut(sentence)) for sentence in handwritten("sentences.txt")
    )


def varied_sentence(rng: random.Random) -> str:
    """A hand-written sentence with some words exchanged for others of the same part of speech and length."""
    words = []
    for word, tag in rng.choice(tagged_sentences()):
        choices, weights = vocabulary.peers(len(word), tag)
        if word in PRONOUNS:
            words.append(rng.choice(PRONOUNS))
        elif choices and rng.random() < EXCHANGED_SHARE:
            words.append(rng.choices(choices, weights)[0])
        else:
            words.append(word)
    return "".join(words)


def short_sentence(rng: random.Random) -> str:
    """One to three words: what a caller says between two pauses."""
    free = vocabulary.lexicon()["free"]
    if rng.random() < 0.5:
        return salad(rng, 1, 2)
    slot = rng.choice(["thing", "action", "object", "time", "greeting", "measured", "city", "person", "place"])
    return rng.choice(free[slot]) + "。"


SOURCES: tuple[tuple[Callable[[random.Random], str], int], ...] = (
    (grammar_sentence, 12),
    (template_sentence, 25),
    (salad, 12),
    (handwritten_sentence, 22),
    (varied_sentence, 24),
    (short_sentence, 5),
)
PUNCTUATED_SOURCES: tuple[tuple[Callable[[random.Random], str], int], ...] = (
    (grammar_sentence, 30),
    (template_sentence, 15),
    (handwritten_sentence, 36),
    (varied_sentence, 19),
)


def sentence(rng: random.Random, sources: tuple[tuple[Callable[[random.Random], str], int], ...] = SOURCES) -> str:
    """One training sentence; those held out for the test are never returned."""
    makers, weights = zip(*sources, strict=True)
    while True:
        drawn: str = rng.choices(makers, weights)[0](rng)
        if not is_held_out(drawn):
            return drawn


def utterance(rng: random.Random) -> tuple[str, ...]:
    """The sentences of one training recording: mostly one, at times up to five."""
    count = rng.choices((1, 2, 3, 4, 5), (72, 12, 8, 5, 3))[0]
    return tuple(sentence(rng) for _ in range(count))


def development_sentence(rng: random.Random) -> str:
    """One sentence of the grammar or the free templates that training never sees, and the test neither."""
    while True:
        drawn = rng.choice((grammar_sentence, template_sentence))(rng)
        if is_held_out(drawn) and vocabulary.strip_marks(drawn) not in held_out():
            return drawn


def held_out_grammar(rng: random.Random, count: int) -> list[str]:
    """`count` different grammar sentences that training never sees."""
    found: dict[str, None] = {}
    while len(found) < count:
        drawn = grammar_sentence(rng)
        if is_held_out(drawn):
            found[drawn] = None
    return list(found)
