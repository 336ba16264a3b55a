"""Punctuation by FunASR's CT-Transformer: window by window, the windows of many texts in one pass.

The algorithm is the one of ``CTTransformer.inference``: 20 tokens are added to a window at a time; what stands before
the last full stop or question mark in it is settled, the rest is carried into the next window; a window of more than
200 tokens without one is cut at its last comma. The last mark of a text is always one that ends a sentence.
Marks after ASCII words are ASCII (``,`` ``.`` ``?``), and an ASCII word that begins a sentence gets a capital, as in
FunASR; unlike there, the rest of such a word is left alone (FunASR writes ``NBA`` as ``Nba``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

WINDOW_TOKENS = 20
CUT_AT_COMMA_TOKENS = 200
NO_CUT_TOKENS = 2000
"""A window may not grow beyond this, whatever the model says: bounds memory on text that never ends a sentence."""
SENTENCE_ENDS = frozenset("。？")
MARKS = frozenset("，。？、")
_ASCII = {"，": ",", "。": ".", "？": "?"}
_ENDS = SENTENCE_ENDS | {".", "?"}


@dataclass(frozen=True, slots=True)
class Marked:
    """A word, capitalised where it begins a sentence, and the mark that follows it ("" for none)."""

    text: str
    mark: str


class PunctuatedText:
    """One text on its way through the windows; pure, the model is the caller's.

    While `window` gives tokens, ask the model for a mark of each and hand them to `settle`.

    Args:
        tokens: what the model reads, in order.
    """

    def __init__(self, tokens: Sequence[str]) -> None:
        self._tokens = tokens
        self.marks: list[str] = []
        """Marks settled so far, one a token, Chinese."""
        self._end = min(WINDOW_TOKENS, len(tokens))

    @property
    def done(self) -> bool:
        """Whether every token has its mark."""
        return len(self.marks) == len(self._tokens)

    def window(self) -> Sequence[str]:
        """The tokens to ask the model for next; empty when done."""
        return self._tokens[len(self.marks) : self._end]

    def settle(self, marks: Sequence[str]) -> None:
        """Take the model's marks for `window`, one a token, Chinese or ""."""
        last_window = self._end == len(self._tokens)
        settled = list(marks) if last_window else _up_to_sentence_end(list(marks))
        self.marks += settled
        self._end = min(self._end + WINDOW_TOKENS, len(self._tokens))


def _up_to_sentence_end(marks: list[str]) -> list[str]:
    """What can be settled of a window that is not the last one."""
    candidates = range(len(marks) - 2, 1, -1)
    for i in candidates:
        if marks[i] in SENTENCE_ENDS:
            return marks[: i + 1]
    if len(marks) > CUT_AT_COMMA_TOKENS:
        for i in candidates:
            if marks[i] == "，":
                return [*marks[:i], "。"]
    return marks[: len(marks) // 2] if len(marks) > NO_CUT_TOKENS else []


def apply_marks(words: Sequence[str], tokens: Sequence[str], marks: Sequence[str]) -> list[Marked]:
    """Hand the tokens' marks to the words they stand behind.

    Args:
        words: the text, without spaces in a word.
        tokens: the same characters, split as the model wants them.
        marks: one for each token, Chinese or "".
    """
    mark_at: dict[int, str] = {}
    position = 0
    for token, mark in zip(tokens, marks, strict=True):
        position += len(token)
        if mark:
            mark_at[position] = _ASCII.get(mark, mark) if token[:1].isascii() else mark
    marked: list[Marked] = []
    position = 0
    begins = True
    for word in words:
        position += len(word)
        mark = mark_at.get(position, "")
        text = word[:1].upper() + word[1:] if begins and word[:1].isascii() else word
        begins = mark in _ENDS
        marked.append(Marked(text, mark))
    if marked:
        marked[-1] = Marked(marked[-1].text, _final_mark(marked[-1]))
    return marked


def _final_mark(last: Marked) -> str:
    if last.mark in _ENDS:
        return last.mark
    return "." if last.text[-1:].isascii() and last.mark != "、" else "。"


def split_characters(words: Sequence[str]) -> list[str]:
    """Tokens of a model that reads characters: each non-ASCII character, and each run of ASCII ones within a word."""
    tokens: list[str] = []
    for word in words:
        run = ""
        for char in word:
            if char.isascii():
                run += char
                continue
            if run:
                tokens.append(run)
                run = ""
            tokens.append(char)
        if run:
            tokens.append(run)
    return tokens


class Punctuator:
    """A CT-Transformer that marks the words of a text.

    Args:
        model: FunASR's ``CTTransformer``, ready for inference.
        tokenizer: FunASR's tokenizer of that model.
        device: where the model is.
    """

    def __init__(self, model: Any, tokenizer: Any, device: str) -> None:
        self._model = model
        self._tokenizer = tokenizer
        self._device = device
        self._marks = [mark if mark in MARKS else "" for mark in model.punc_list]
        dictionary = getattr(model, "jieba_usr_dict", None)
        self._split: Callable[[Sequence[str]], list[str]] = (
            split_characters if dictionary is None else lambda words: _split_with_jieba(words, dictionary)
        )

    def begin(self, words: Sequence[str]) -> tuple[list[str], PunctuatedText]:
        """Tokens of a text and its way through the windows, for those who interleave several texts."""
        tokens = self._split(words)
        return tokens, PunctuatedText(tokens)

    def advance(self, texts: Sequence[PunctuatedText]) -> None:
        """Settle one window of each text: one forward pass of the model, and one synchronisation with its device.

        Args:
            texts: none of them done.
        """
        import torch  # noqa: PLC0415 - see consumer.engine.load

        ids = [torch.tensor(self._tokenizer.tokens2ids(text.window())) for text in texts]
        lengths = torch.tensor([len(row) for row in ids])
        padded = torch.nn.utils.rnn.pad_sequence(ids, batch_first=True)
        with torch.inference_mode():
            scores, _ = self._model.punc_forward(padded.to(self._device), lengths.to(self._device))
            best = scores.argmax(dim=-1).tolist()
        for text, row, length in zip(texts, best, lengths.tolist(), strict=True):
            text.settle([self._marks[i] for i in row[:length]])

    def punctuate(self, words: Sequence[str]) -> list[Marked]:
        """Mark a whole text at once."""
        tokens, text = self.begin(words)
        while not text.done:
            self.advance([text])
        return apply_marks(words, tokens, text.marks)


def _split_with_jieba(words: Sequence[str], dictionary: Any) -> list[str]:
    from funasr.models.ct_transformer.utils import split_words  # noqa: PLC0415 - see consumer.engine.load

    return list(split_words(" ".join(words), jieba_usr_dict=dictionary))
