"""Trains the recogniser: `python -m training.train_recogniser --data data/recogniser --dev data/development --out ...`.

A FunASR Paraformer of 1.9 million parameters, trained through the library's own `Paraformer.forward`.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import funasr.models.paraformer.cif_predictor  # registers what the configuration names
import funasr.models.paraformer.decoder
import funasr.models.sanm.encoder  # noqa: F401
import numpy as np
import torch
from funasr.models.paraformer.model import Paraformer

from training import vocabulary
from training.dataset import Utterance, read_folder
from training.features import (
    MEL_BANDS,
    Features,
    measure_normalisation,
    read_normalisation,
    stack_frames,
)
from training.folders import ModelFolder, load_tokens, load_weights, save
from training.schedule import Schedule, use_threads
from training.scoring import ErrorRate, character_errors

STACKED_FRAMES = 7
FRAME_STEP = 6
INPUT_SIZE = STACKED_FRAMES * MEL_BANDS
WIDTH = 128
SPECIAL_TOKENS = ("<blank>", "<s>", "</s>")
# Frames of 60 ms in one batch, padding included.
BATCH_FRAMES = 1200
REPORT_STEPS = 100
# Beside the length-normalised losses of the decoder, a usual weight of 0.3 drowns them.
CTC_WEIGHT = 0.03
WIDEST_BAND_MASK = 14
LONGEST_TIME_MASK = 3

ENCODER: dict[str, Any] = {
    "output_size": WIDTH,
    "attention_heads": 4,
    "linear_units": 4 * WIDTH,
    "num_blocks": 5,
    "dropout_rate": 0.0,
    "positional_dropout_rate": 0.0,
    "attention_dropout_rate": 0.0,
    "input_layer": "pe",
    "pos_enc_class": "SinusoidalPositionEncoder",
    "normalize_before": True,
    "kernel_size": 11,
    "sanm_shfit": 0,
    "selfattention_layer_type": "sanm",
}
DECODER: dict[str, Any] = {
    "attention_heads": 4,
    "linear_units": 4 * WIDTH,
    "num_blocks": 2,
    "dropout_rate": 0.0,
    "positional_dropout_rate": 0.0,
    "self_attention_dropout_rate": 0.0,
    "src_attention_dropout_rate": 0.0,
    "att_layer_num": 2,
    "kernel_size": 11,
    "sanm_shfit": 0,
}
PREDICTOR: dict[str, Any] = {"idim": WIDTH, "threshold": 1.0, "l_order": 1, "r_order": 1, "tail_threshold": 0.45}
MODEL: dict[str, Any] = {
    "lsm_weight": 0.1,
    "length_normalized_loss": True,
    "predictor_weight": 1.0,
    "predictor_bias": 1,
    "sampling_ratio": 0.75,
}
CONFIG: dict[str, Any] = {
    "model": "Paraformer",
    # The head for the auxiliary loss is not shipped.
    "model_conf": {"ctc_weight": 0.0, **MODEL},
    "encoder": "SANMEncoder",
    "encoder_conf": ENCODER,
    "decoder": "ParaformerSANMDecoder",
    "decoder_conf": DECODER,
    "predictor": "CifPredictorV2",
    "predictor_conf": PREDICTOR,
    "frontend": "WavFrontend",
    "frontend_conf": {
        "fs": 16000,
        "window": "hamming",
        "n_mels": MEL_BANDS,
        "frame_length": 25,
        "frame_shift": 10,
        "lfr_m": STACKED_FRAMES,
        "lfr_n": FRAME_STEP,
        "dither": 0.0,
    },
    "tokenizer": "CharTokenizer",
    "tokenizer_conf": {"unk_symbol": "<unk>", "split_with_space": True},
    "input_size": INPUT_SIZE,
}


@dataclass(frozen=True, slots=True)
class Material:
    """What training is done with: recordings, tokens by id, and the normalisation of the features."""

    folder: Path
    development: Sequence[Utterance]
    tokens: Sequence[str]
    normalisation: tuple[Features, Features]


def masked(features: Features, rng: random.Random) -> Features:
    """Features with a band of frequencies and a moment of time blanked, as in SpecAugment."""
    stacked = features.reshape(len(features), STACKED_FRAMES, MEL_BANDS).copy()
    width = rng.randint(0, WIDEST_BAND_MASK)
    low = rng.randint(0, MEL_BANDS - width)
    stacked[:, :, low : low + width] = 0
    length = rng.randint(0, min(LONGEST_TIME_MASK, len(stacked)))
    start = rng.randint(0, len(stacked) - length)
    stacked[start : start + length] = 0
    return stacked.reshape(len(features), INPUT_SIZE)


def batch_of(
    utterances: Sequence[Utterance], material: Material, rng: random.Random | None = None
) -> Mapping[str, torch.Tensor]:
    """The arguments of FunASR's `Paraformer.forward`, masked at random if there is an `rng`."""
    shift, scale = material.normalisation
    ids = {token: index for index, token in enumerate(material.tokens)}
    features, texts = [], []
    for utterance in utterances:
        stacked = (stack_frames(utterance.mel.astype(np.float32), STACKED_FRAMES, FRAME_STEP) + shift) * scale
        features.append(torch.from_numpy(masked(stacked, rng) if rng else stacked))
        texts.append(torch.tensor([ids[character] for character in vocabulary.strip_marks(utterance.text)]))
    pad = torch.nn.utils.rnn.pad_sequence
    return {
        "speech": pad(features, batch_first=True),
        "speech_lengths": torch.tensor([len(frames) for frames in features]),
        "text": pad(texts, batch_first=True, padding_value=-1),
        "text_lengths": torch.tensor([len(text) for text in texts]),
    }


def by_length(utterances: Sequence[Utterance]) -> list[list[Utterance]]:
    """Batches of utterances of about one length, none over `BATCH_FRAMES`."""
    batches: list[list[Utterance]] = [[]]
    for utterance in sorted(utterances, key=lambda u: len(u.mel)):
        frames = -(-len(utterance.mel) // FRAME_STEP)
        if batches[-1] and (len(batches[-1]) + 1) * frames > BATCH_FRAMES:
            batches.append([])
        batches[-1].append(utterance)
    return batches


def build(tokens: Sequence[str], initial: Path | None) -> Paraformer:
    """A model with the weights of a folder, or random ones. The auxiliary head always starts at random."""
    model = Paraformer(
        input_size=INPUT_SIZE,
        vocab_size=len(tokens),
        encoder="SANMEncoder",
        encoder_conf=ENCODER,
        decoder="ParaformerSANMDecoder",
        decoder_conf=DECODER,
        predictor="CifPredictorV2",
        predictor_conf=PREDICTOR,
        ctc_weight=CTC_WEIGHT,
        **MODEL,
    )
    if initial:
        missing, unexpected = model.load_state_dict(load_weights(initial), strict=False)
        if unexpected or any(not name.startswith("ctc.") for name in missing):
            raise ValueError(f"{initial} is another architecture: {missing} missing, {unexpected} unexpected")
    return model


@torch.no_grad()
def transcribe(model: Paraformer, utterances: Sequence[Utterance], material: Material) -> Iterator[tuple[str, str]]:
    """(truth, hypothesis) for each utterance, by greedy decoding."""
    for batch in by_length(utterances):
        inputs = batch_of(batch, material)
        encoded, lengths = model.encode(inputs["speech"], inputs["speech_lengths"])
        embeds, counts = model.calc_predictor(encoded, lengths)[:2]
        counts = counts.round().long()
        if int(counts.max()) < 1:
            yield from ((utterance.text, "") for utterance in batch)
            continue
        scores, _ = model.cal_decoder_with_predictor(encoded, lengths, embeds, counts)
        for utterance, row, count in zip(batch, scores.argmax(-1).tolist(), counts.tolist(), strict=True):
            heard = (material.tokens[i] for i in row[:count] if i >= len(SPECIAL_TOKENS))
            yield utterance.text, "".join(heard)


def evaluate(model: Paraformer, material: Material) -> ErrorRate:
    """Character errors on the development recordings."""
    model.eval()
    errors = character_errors(transcribe(model, material.development, material))
    model.train()
    return errors


def export(model: Paraformer, material: Material, folder: Path) -> None:
    """Writes the model folder, without the auxiliary head."""
    weights = {name: weight for name, weight in model.state_dict().items() if not name.startswith("ctc.")}
    save(
        folder,
        ModelFolder("auto-speech-recognition", CONFIG, weights, material.tokens, material.normalisation),
    )


def train(model: Paraformer, material: Material, schedule: Schedule, out: Path, interval: float) -> None:
    """Trains until the time is up; every `interval` minutes the model is scored, and kept if it is the best.

    The recordings are read again for each epoch, so that those which are made meanwhile take part.
    """
    rng = random.Random(7)
    best, next_score, losses = 1.0, interval * 60, []
    model.train()
    while not schedule.is_over():
        batches = by_length(read_folder(material.folder))
        print(f"{schedule.seconds:5.0f} s: {len(batches)} batches", flush=True)
        for batch in rng.sample(batches, len(batches)):
            loss, statistics, _ = model(**batch_of(batch, material, rng))
            schedule.step(loss)
            losses.append((float(statistics["loss_att"]), float(statistics["acc"])))
            if schedule.steps % REPORT_STEPS == 0:
                attention, accuracy = np.mean(losses[-REPORT_STEPS:], axis=0)
                print(f"{schedule.seconds:5.0f} s, step {schedule.steps}: {attention:.3f}, {accuracy:.3f}", flush=True)
            if schedule.seconds >= next_score or schedule.is_over():
                next_score += interval * 60
                score = evaluate(model, material).rate
                print(f"{schedule.seconds:5.0f} s: character error rate {score:.2%}", flush=True)
                if score < best:
                    best = score
                    export(model, material, out)
            if schedule.is_over():
                break


def gather(arguments: argparse.Namespace) -> Material:
    """Reads the recordings; tokens and normalisation come from the folder that training continues from, if any."""
    if arguments.init:
        tokens = load_tokens(arguments.init)
        normalisation = read_normalisation(arguments.init / "am.mvn")
    else:
        tokens = [*SPECIAL_TOKENS, *vocabulary.characters(), "<unk>"]
        sample = np.concatenate([utterance.mel for utterance in read_folder(arguments.data)[:2000]]).astype(np.float32)
        normalisation = measure_normalisation(sample, STACKED_FRAMES)
    return Material(arguments.data, read_folder(arguments.dev), tokens, normalisation)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="recordings of `training.synthesise recogniser`")
    parser.add_argument("--dev", type=Path, required=True, help="recordings of `training.synthesise development`")
    parser.add_argument("--out", type=Path, required=True, help="the model folder to write")
    parser.add_argument("--init", type=Path, help="a model folder to continue from")
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--interval", type=float, default=5.0, help="minutes between scores on --dev")
    parser.add_argument("--peak", type=float, default=1.5e-3, help="highest learning rate")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    use_threads(arguments.threads, seed=7)
    material = gather(arguments)
    model = build(material.tokens, arguments.init)
    schedule = Schedule(model, arguments.minutes, arguments.peak, warm_up_steps=200)
    train(model, material, schedule, arguments.out, arguments.interval)


if __name__ == "__main__":
    main()
