"""The closed vocabulary: its characters, its words by slot, and the words a segmentation dictionary adds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources

import yaml

MARKS = "，。？、"
SENTENCE_ENDS = "。？"
# Dictionary words rarer than this are mostly names and classical fragments.
MINIMUM_FREQUENCY = 8
MAXIMUM_WORD_CHARACTERS = 4
# Words as common as this stand in for one another, if they are of one of these parts of speech.
COMMON_FREQUENCY = 60
EXCHANGEABLE = frozenset({"n", "v", "a", "t", "ns", "s", "vn"})
# Tags of the segmentation dictionary, by the slot they fill in a template.
PART_OF_SPEECH = {
    "n": ("n", "nz", "ns", "vn", "an"),
    "v": ("v",),
    "a": ("a", "ad"),
    "d": ("d", "ad"),
    "t": ("t",),
}


def text_file(name: str) -> str:
    """The content of a file in `training/text`."""
    return (resources.files("training") / "text" / name).read_text(encoding="utf-8")


@cache
def characters() -> tuple[str, ...]:
    """Every character the models know, in the order of their token ids."""
    return tuple(text_file("characters.txt").strip())


def foreign_characters(text: str) -> str:
    """The characters of `text` that are neither in the vocabulary nor a punctuation mark."""
    known = set(characters()) | set(MARKS)
    return "".join(sorted(set(text) - known))


def strip_marks(text: str) -> str:
    """`text` without punctuation and white space."""
    return "".join(character for character in text if character not in MARKS and not character.isspace())


@cache
def lexicon() -> Mapping[str, Mapping[str, tuple[str, ...]]]:
    """Slot words by section. A word with a character outside the vocabulary is an error in the file."""
    sections = {
        section: {slot: tuple(words.split()) for slot, words in slots.items()}
        for section, slots in yaml.safe_load(text_file("lexicon.yaml")).items()
    }
    for section, slots in sections.items():
        for slot, words in slots.items():
            for word in words:
                if outside := foreign_characters(word):
                    raise ValueError(f"lexicon.yaml [{section}] {slot}: {word} needs {outside}")
    return sections


@dataclass(frozen=True, slots=True)
class Word:
    """One dictionary word that the vocabulary can spell."""

    text: str
    frequency: int
    tag: str


@cache
def dictionary() -> tuple[Word, ...]:
    """The words of jieba's dictionary that consist of vocabulary characters only."""
    known = set(characters())
    lines = (resources.files("jieba") / "dict.txt").read_text(encoding="utf-8").splitlines()
    found = []
    for line in lines:
        text, frequency, tag = line.split(" ")
        usual = int(frequency) >= MINIMUM_FREQUENCY and len(text) <= MAXIMUM_WORD_CHARACTERS
        if usual and known.issuperset(text):
            found.append(Word(text, int(frequency), tag))
    return tuple(found)


@cache
def words_tagged(slot: str) -> tuple[tuple[str, ...], tuple[float, ...]]:
    """Dictionary words for a part-of-speech slot, with weights that flatten their frequency."""
    tags = PART_OF_SPEECH[slot]
    chosen = [word for word in dictionary() if word.tag in tags]
    return tuple(word.text for word in chosen), tuple(word.frequency**0.35 for word in chosen)


@cache
def peers(length: int, tag: str) -> tuple[tuple[str, ...], tuple[float, ...]]:
    """Common dictionary words of one length and part of speech, with weights; none for the tags of function words."""
    if tag not in EXCHANGEABLE:
        return (), ()
    chosen = [w for w in dictionary() if w.tag == tag and len(w.text) == length and w.frequency >= COMMON_FREQUENCY]
    return tuple(word.text for word in chosen), tuple(word.frequency**0.5 for word in chosen)


@cache
def words_containing(character: str) -> tuple[tuple[str, ...], tuple[float, ...]]:
    """Dictionary and lexicon words that contain `character`, with flattened weights; itself if there is none."""
    weights = {word.text: word.frequency**0.35 for word in dictionary() if character in word.text}
    for slots in lexicon().values():
        for words in slots.values():
            for word in words:
                if character in word:
                    weights[word] = max(weights.get(word, 0.0), 6.0)
    weights.setdefault(character, 3.0)
    return tuple(weights), tuple(weights.values())
