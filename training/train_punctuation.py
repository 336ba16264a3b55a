"""Trains the punctuation model on text alone: `python -m training.train_punctuation --out models/ct-transformer`."""

from __future__ import annotations

import argparse
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import funasr.models.sanm.encoder  # noqa: F401  (registers SANMEncoder)
import torch
from funasr.models.ct_transformer.model import CTTransformer

from training import corpus, vocabulary
from training.folders import ModelFolder, load_weights, save
from training.schedule import Schedule, use_threads

UNKNOWN = "<unk>"
MARKS = ("<unk>", "_", "，", "。", "？", "、")
NO_MARK, SENTENCE_END = MARKS.index("_"), MARKS.index("。")
PADDING = -1
WIDTH = 128
BATCH = 32
MOST_SENTENCES = 6
# FunASR reads 20 characters at a time and carries what follows the last sentence end into the next window, so
# most of what the model sees stops in the middle of a sentence.
WINDOW = 20
CUT_SHARE = 0.6
# The recogniser's mistakes: this share of characters is replaced by any other.
MISHEARD_SHARE = 0.02
# A sentence end that is missing hurts more than a comma that is one too many.
LOSS_WEIGHTS = {"，": 0.7, "。": 1.2, "？": 1.3}
DEVELOPMENT_TEXTS = 400
REPORT_STEPS = 300

ENCODER: dict[str, Any] = {
    "input_size": WIDTH,
    "output_size": WIDTH,
    "attention_heads": 4,
    "linear_units": 256,
    "num_blocks": 2,
    "dropout_rate": 0.1,
    "positional_dropout_rate": 0.0,
    "attention_dropout_rate": 0.0,
    "input_layer": "pe",
    "pos_enc_class": "SinusoidalPositionEncoder",
    "normalize_before": True,
    "kernel_size": 11,
    "sanm_shfit": 0,
    "selfattention_layer_type": "sanm",
    "padding_idx": 0,
}
MODEL: dict[str, Any] = {
    "ignore_id": PADDING,
    "embed_unit": WIDTH,
    "att_unit": WIDTH,
    "dropout_rate": 0.1,
    "punc_list": list(MARKS),
    "punc_weight": [1.0] * len(MARKS),
    "sentence_end_id": SENTENCE_END,
}
CONFIG: dict[str, Any] = {
    "model": "CTTransformer",
    "model_conf": MODEL,
    "encoder": "SANMEncoder",
    "encoder_conf": ENCODER,
    "tokenizer": "CharTokenizer",
    "tokenizer_conf": {"unk_symbol": UNKNOWN, "split_with_space": True},
}


@dataclass(frozen=True, slots=True)
class Scores:
    """How often the mark after a sentence is the right one, and how often there is one too many or of another kind."""

    sentence_ends: float
    other_marks: float
    unwanted: float

    def __str__(self) -> str:
        return (
            f"sentence ends {self.sentence_ends:.1%}, commas and the like {self.other_marks:.1%}, "
            f"unwanted {self.unwanted:.2%} of unmarked places"
        )


def tokens() -> list[str]:
    """The tokens by id: the vocabulary between the special ones."""
    return ["<blank>", "<s>", "</s>", *vocabulary.characters(), UNKNOWN]


def labelled(text: str) -> tuple[str, list[int]]:
    """The characters of a punctuated text and, for each, the mark that follows it."""
    characters: list[str] = []
    marks: list[int] = []
    for character in text:
        if character in vocabulary.MARKS:
            if marks:
                marks[-1] = MARKS.index(character)
        else:
            characters.append(character)
            marks.append(NO_MARK)
    return "".join(characters), marks


def example(rng: random.Random) -> tuple[list[int], list[int]]:
    """Token ids and marks of some sentences, misheard here and there and cut where a window may cut them."""
    count = rng.randint(1, MOST_SENTENCES)
    text = "".join(corpus.sentence(rng, corpus.PUNCTUATED_SOURCES) for _ in range(count))
    characters, marks = labelled(text)
    size = len(tokens())
    known = {token: index for index, token in enumerate(tokens())}
    ids = [rng.randrange(3, size) if rng.random() < MISHEARD_SHARE else known[c] for c in characters]
    if rng.random() < CUT_SHARE and len(ids) > WINDOW:
        end = rng.randint(WINDOW, len(ids))
        ids, marks = ids[:end], marks[:end]
    return ids, marks


def batch_of(examples: Sequence[tuple[list[int], list[int]]]) -> Mapping[str, torch.Tensor]:
    """The arguments of FunASR's `CTTransformer.forward`."""
    lengths = torch.tensor([len(ids) for ids, _ in examples])
    pad = torch.nn.utils.rnn.pad_sequence
    return {
        "text": pad([torch.tensor(ids) for ids, _ in examples], batch_first=True),
        "punc": pad([torch.tensor(marks) for _, marks in examples], batch_first=True, padding_value=PADDING),
        "text_lengths": lengths,
        "punc_lengths": lengths,
    }


def build() -> CTTransformer:
    """A model with random weights."""
    model = CTTransformer(encoder="SANMEncoder", encoder_conf=ENCODER, vocab_size=len(tokens()), **MODEL)
    model.punc_weight = torch.tensor([LOSS_WEIGHTS.get(mark, 1.0) for mark in MARKS])
    return model


@torch.no_grad()
def score(model: CTTransformer, texts: Sequence[str]) -> Scores:
    """Marks on whole texts, read at once."""
    known = {token: index for index, token in enumerate(tokens())}
    right, total = dict.fromkeys(range(len(MARKS)), 0), dict.fromkeys(range(len(MARKS)), 0)
    model.eval()
    for text in texts:
        characters, marks = labelled(text)
        ids = torch.tensor([[known.get(character, len(known) - 1) for character in characters]])
        found = model.punc_forward(ids, torch.tensor([len(characters)]))[0][0].argmax(-1).tolist()
        for wanted, given in zip(marks, found, strict=True):
            total[wanted] += 1
            right[wanted] += wanted == given
    model.train()

    def share(*kinds: str) -> float:
        ids = [MARKS.index(kind) for kind in kinds]
        return sum(right[i] for i in ids) / max(1, sum(total[i] for i in ids))

    return Scores(share("。", "？"), share("，", "、"), 1 - share("_"))


def development_texts() -> list[str]:
    """Texts of several sentences that training does not see: held-out grammar and hand-written ones."""
    rng = random.Random(11)
    pool = [*corpus.held_out_grammar(rng, 200), *corpus.handwritten("held_out.txt")]
    return ["".join(rng.choice(pool) for _ in range(rng.randint(2, 6))) for _ in range(DEVELOPMENT_TEXTS)]


def train(minutes: float, peak: float, initial: Path | None) -> CTTransformer:
    """The trained model."""
    rng = random.Random(5)
    model = build()
    if initial:
        model.load_state_dict(load_weights(initial))
    texts = development_texts()
    schedule = Schedule(model, minutes, peak, warm_up_steps=200)
    while not schedule.is_over():
        examples = [example(rng) for _ in range(BATCH)]
        loss, _, _ = model(**batch_of(examples))
        schedule.step(loss)
        if schedule.steps % REPORT_STEPS == 0:
            print(f"{schedule.seconds:5.0f} s, step {schedule.steps}: {score(model, texts)}", flush=True)
    print(f"at the end: {score(model, texts)}")
    return model


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="the model folder to write")
    parser.add_argument("--minutes", type=float, default=6.0)
    parser.add_argument("--init", type=Path, help="a model folder to continue from")
    parser.add_argument("--peak", type=float, default=2e-3, help="highest learning rate")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    use_threads(arguments.threads, seed=5)
    model = train(arguments.minutes, arguments.peak, arguments.init)
    save(arguments.out, ModelFolder("punctuation", CONFIG, model.state_dict(), tokens=tokens()))


if __name__ == "__main__":
    main()
