"""Whether a segment's words depend on the batch it is in: full-size weights, each segment alone and in random batches.

Random weights decide between tokens by hairs, so that a difference in the last digit of single precision can show. How
many segments differ is printed, and how many of those hold no two tokens whose log-probabilities lie within 1e-4 of one
another. The targets: none of the latter, and confidences as alone (1e-4).
"""

from __future__ import annotations

import argparse
import math
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from unittest import mock

from benchmarks.audio import mixed_set
from benchmarks.options import add_model_options, chosen_models, parser
from benchmarks.report import print_result, progress
from consumer.transcript.types import Word

CLOSE = 1e-4
"""Log-probabilities that are closer than this are as good as equal; so are confidences."""
SMALLEST_BATCH, LARGEST_BATCH = 2, 12


def main(arguments: list[str] | None = None) -> None:
    """Run the comparison."""
    options = parser("parity", "Words alone and in company.", minutes=4)
    add_model_options(options, rounds=1, budget_s=440)
    options.add_argument("--batches", type=int, default=20, help="random batches")
    run(options.parse_args(arguments))


def run(options: argparse.Namespace) -> None:
    """Compare and report."""
    from consumer.engine.load import load_models  # noqa: PLC0415 - slow
    from consumer.settings import EngineSettings  # noqa: PLC0415 - with it

    folders = chosen_models(options)
    settings = {**folders.engine_settings(), "device": "cpu", "dtype": "float32", "threads": options.threads}
    models = load_models(EngineSettings.model_validate(settings))
    mels = [span.mel for each in mixed_set(options.minutes) for span in models.detector.detect(each.samples)]
    progress(f"{len(mels)} segments")
    with watched_decisions() as narrowest:
        alone = []
        for mel in mels:
            narrowest.clear()
            alone.append((models.recogniser.recognise([mel], [0])[0], min(narrowest, default=math.inf)))
    chance = random.Random(0)
    compared, different, unexplained = 0, 0, 0
    furthest = 0.0
    for number in range(options.batches):
        chosen = chance.sample(range(len(mels)), min(len(mels), chance.randint(SMALLEST_BATCH, LARGEST_BATCH)))
        batch = models.recogniser.recognise([mels[i] for i in chosen], [0] * len(chosen))
        compared += len(chosen)
        for words, (others, gap) in zip(batch, (alone[i] for i in chosen), strict=True):
            if same(words, others):
                pairs = zip(words, others, strict=True)
                furthest = max([furthest, *(abs(one.confidence - other.confidence) for one, other in pairs)])
            else:
                different += 1
                unexplained += gap >= CLOSE
        progress(f"batch {number + 1} of {options.batches}: {different} of {compared} differ")
    print_result(
        "parity",
        {"different": different / compared, "unexplained": unexplained / compared},
        {},
        segments=compared,
        different=different,
        unexplained=unexplained,
        furthest_confidence=furthest,
        words=sum(len(words) for words, _ in alone),
    )


def same(words: Sequence[Word], others: Sequence[Word]) -> bool:
    """Whether two lists of words are equal, times included."""
    return [(w.text, w.start_ms, w.end_ms) for w in words] == [(w.text, w.start_ms, w.end_ms) for w in others]


@contextmanager
def watched_decisions() -> Iterator[list[float]]:
    """By how much each batch of one segment preferred its tokens to the next best: the least, of log-probabilities."""
    from funasr.models.paraformer.model import Paraformer  # noqa: PLC0415 - slow

    narrowest: list[float] = []
    real = Paraformer.cal_decoder_with_predictor

    def watched(model: Any, hidden: Any, lengths: Any, embeddings: Any, counts: Any) -> Any:
        scores, others = real(model, hidden, lengths, embeddings, counts)
        best = scores[0, : int(counts[0])].topk(2).values
        narrowest.append(float((best[:, 0] - best[:, 1]).min()))
        return scores, others

    with mock.patch.object(Paraformer, "cal_decoder_with_predictor", watched):
        yield narrowest


if __name__ == "__main__":
    main()
