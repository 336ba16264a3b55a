"""Trains the voice activity detector: `python -m training.train_vad --data data/detector --out models/fsmn-vad`.

FunASR takes the first output of the network for the probability of silence; the second one is speech.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from funasr.models.fsmn_vad_streaming.encoder import FSMN

from training.dataset import Utterance, read_folder
from training.features import Features, measure_normalisation, read_normalisation, stack_frames
from training.folders import ModelFolder, load_weights, save
from training.schedule import Schedule, use_threads

STACKED_FRAMES = 5
CROP_FRAMES = 500
BATCH = 16
DEVELOPMENT_SHARE = 0.04
# FunASR takes the logarithm of both probabilities, so neither may round to zero: targets stay off 0 and 1,
# and large logits cost something.
SMOOTHING = 0.02
LOGIT_PENALTY = 2e-4

ENCODER: dict[str, Any] = {
    "input_dim": 400,
    "input_affine_dim": 80,
    "fsmn_layers": 3,
    "linear_dim": 160,
    "proj_dim": 80,
    "lorder": 20,
    "rorder": 0,
    "lstride": 1,
    "rstride": 0,
    "output_affine_dim": 80,
    "output_dim": 2,
}
CONFIG: dict[str, Any] = {
    "model": "FsmnVADStreaming",
    "model_conf": {
        "sample_rate": 16000,
        "detect_mode": 1,
        "snr_mode": 0,
        "max_end_silence_time": 800,
        "max_start_silence_time": 3000,
        "do_start_point_detection": True,
        "do_end_point_detection": True,
        "window_size_ms": 200,
        "sil_to_speech_time_thres": 150,
        "speech_to_sil_time_thres": 150,
        "speech_2_noise_ratio": 1.0,
        "do_extend": 1,
        "lookback_time_start_point": 200,
        "lookahead_time_end_point": 100,
        "max_single_segment_time": 20000,
        "snr_thres": -100.0,
        "noise_frame_num_used_for_snr": 100,
        "decibel_thres": -100.0,
        "speech_noise_thres": 0.6,
        "fe_prior_thres": 0.0001,
        "silence_pdf_num": 1,
        "sil_pdf_ids": [0],
        "speech_noise_thresh_low": -0.1,
        "speech_noise_thresh_high": 0.3,
        "output_frame_probs": False,
        "frame_in_ms": 10,
        "frame_length_ms": 25,
    },
    "encoder": "FSMN",
    "encoder_conf": ENCODER,
    "frontend": "WavFrontendOnline",
    "frontend_conf": {
        "fs": 16000,
        "window": "hamming",
        "n_mels": 80,
        "frame_length": 25,
        "frame_shift": 10,
        "dither": 0.0,
        "lfr_m": STACKED_FRAMES,
        "lfr_n": 1,
    },
}


@dataclass(frozen=True, slots=True)
class Scores:
    """Frame errors on recordings that training did not see."""

    missed: float
    false_alarms: float
    largest_logit: float

    def __str__(self) -> str:
        return f"missed {self.missed:.2%}, false alarms {self.false_alarms:.2%}, logits to {self.largest_logit:.1f}"


def normalised(utterance: Utterance, normalisation: tuple[Features, Features]) -> torch.Tensor:
    """What the network sees of an utterance."""
    shift, scale = normalisation
    stacked = stack_frames(utterance.mel.astype(np.float32), STACKED_FRAMES, 1)
    return torch.from_numpy((stacked + shift) * scale)


def batches(
    data: Sequence[Utterance], normalisation: tuple[Features, Features], rng: random.Random
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """One epoch of random crops, each the length of `CROP_FRAMES`, with their labels (-1 past the end)."""
    order = rng.sample(range(len(data)), len(data))
    for first in range(0, len(order) - BATCH + 1, BATCH):
        inputs = torch.zeros(BATCH, CROP_FRAMES, ENCODER["input_dim"])
        labels = torch.full((BATCH, CROP_FRAMES), -1, dtype=torch.long)
        for row, index in enumerate(order[first : first + BATCH]):
            frames = normalised(data[index], normalisation)
            # The network has no memory of what comes before a recording, so many crops start at its beginning.
            start = rng.choice([0, rng.randrange(max(1, len(frames) - CROP_FRAMES))])
            crop = frames[start : start + CROP_FRAMES]
            inputs[row, : len(crop)] = crop
            labels[row, : len(crop)] = torch.from_numpy(data[index].speech[start : start + len(crop)].astype(np.int64))
        yield inputs, labels


def loss_of(network: FSMN, inputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Cross entropy per frame, with the penalty that keeps probabilities off 0 and 1."""
    logits: torch.Tensor = network(inputs, None)
    entropy = torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), labels.flatten(), ignore_index=-1, label_smoothing=SMOOTHING
    )
    return entropy + LOGIT_PENALTY * logits.square().mean()


@torch.no_grad()
def score(network: FSMN, data: Sequence[Utterance], normalisation: tuple[Features, Features]) -> Scores:
    """Frame errors at the threshold that FunASR uses."""
    threshold = CONFIG["model_conf"]["speech_noise_thres"]
    missed = false_alarms = speech = silence = 0
    largest = 0.0
    network.eval()
    for utterance in data:
        logits = network(normalised(utterance, normalisation)[None], None)[0]
        silent = logits.softmax(-1)[:, 0].numpy()
        heard = (1 - silent) >= silent + threshold
        truth = utterance.speech.astype(bool)
        missed += int((truth & ~heard).sum())
        false_alarms += int((~truth & heard).sum())
        speech, silence = speech + int(truth.sum()), silence + int((~truth).sum())
        largest = max(largest, float((logits[:, 0] - logits[:, 1]).abs().max()))
    network.train()
    return Scores(missed / max(1, speech), false_alarms / max(1, silence), largest)


def train(data: Sequence[Utterance], minutes: float, initial: Path | None) -> tuple[FSMN, tuple[Features, Features]]:
    """The trained network and its normalisation."""
    rng = random.Random(3)
    held_back = int(len(data) * DEVELOPMENT_SHARE)
    development, data = data[:held_back], data[held_back:]
    network = FSMN(**ENCODER, use_softmax=False)
    if initial:
        normalisation = read_normalisation(initial / "am.mvn")
        network.load_state_dict({name.removeprefix("encoder."): w for name, w in load_weights(initial).items()})
    else:
        sample = np.concatenate([utterance.mel for utterance in data[:1000] if utterance.text]).astype(np.float32)
        normalisation = measure_normalisation(sample, STACKED_FRAMES)
    schedule = Schedule(network, minutes, peak=2e-3, warm_up_steps=100)
    while not schedule.is_over():
        for inputs, labels in batches(data, normalisation, rng):
            schedule.step(loss_of(network, inputs, labels))
            if schedule.is_over():
                break
        scores = score(network, development, normalisation)
        print(f"{schedule.seconds:5.0f} s, step {schedule.steps}: {scores}", flush=True)
    return network, normalisation


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="recordings of `training.synthesise detector`")
    parser.add_argument("--out", type=Path, required=True, help="the model folder to write")
    parser.add_argument("--minutes", type=float, default=8.0)
    parser.add_argument("--init", type=Path, help="a model folder to continue from")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    use_threads(arguments.threads, seed=3)
    network, normalisation = train(read_folder(arguments.data), arguments.minutes, arguments.init)
    weights = {f"encoder.{name}": weight for name, weight in network.state_dict().items()}
    save(arguments.out, ModelFolder("voice-activity-detection", CONFIG, weights, normalisation=normalisation))


if __name__ == "__main__":
    main()
