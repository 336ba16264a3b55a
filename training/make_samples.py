"""Speaks the sample recordings of `tingxie demo`: `python -m training.make_samples --out consumer/demo/samples`.

Nothing in the sound is chosen by hand: voice, speed and pitch come from a fixed seed.
"""

from __future__ import annotations

import argparse
import io
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np

from training import degrade, speech
from training.media import REPEATABLE, Encoding, add_stream, encode, write_audio
from training.speech import Samples
from training.vocabulary import foreign_characters

SEED = 2026
VOICES = ("", "f1", "f2", "f3", "m1", "m3", "m7")
VIDEO_SIZE = (160, 96)
VIDEO_RATE = 5
PAUSE_SECONDS = (0.5, 1.2)
NOISE_DB = 20.0


@dataclass(frozen=True, slots=True)
class Sample:
    """One recording: file name, how it is encoded, and what is said in it."""

    file: str
    encoding: Encoding
    sentences: Sequence[str]
    noisy: bool = False
    video: bool = False


SAMPLES = (
    Sample("meeting.wav", Encoding("wav", "pcm_s16le", 16_000), ["今天下午三个客户来北京开会。"]),
    Sample("hotline.wav", Encoding("wav", "pcm_mulaw", 8_000), ["你好，请问你的订单号是什么？"]),
    Sample("热线 录音.amr", Encoding("amr", "libopencore_amrnb", 8_000, 1, 12_200), ["网络不稳定，声音听不清楚。"]),
    Sample("podcast.mp3", Encoding("mp3", "libmp3lame", 44_100, 2, 64_000), ["春天来了，公园里的花开得很漂亮。"]),
    Sample(
        "客户 回访+1.m4a",
        Encoding("ipod", "aac", 44_100, 1, 48_000),
        ["价格太高了，客户要求我们降低成本。"],
    ),
    Sample("voice note.ogg", Encoding("ogg", "libopus", 48_000, 1, 24_000), ["我已经在路上，十分钟以后可以开会。"]),
    Sample("studio.flac", Encoding("flac", "flac", 48_000, 2), ["老师，这个问题怎么解决？"]),
    Sample("browser.webm", Encoding("webm", "libopus", 48_000, 1, 32_000), ["工程师正在测试新系统的接口。"]),
    Sample(
        "产品演示.mp4",
        Encoding("mp4", "aac", 48_000, 2, 64_000),
        ["大家好，首先我们看一下新产品的数据。"],
        video=True,
    ),
    Sample("dictation 22k.wav", Encoding("wav", "pcm_s16le", 22_050), ["请修改一下合同的日期。"]),
    Sample(
        "street.mp3",
        Encoding("mp3", "libmp3lame", 22_050, 1, 32_000),
        ["路上堵车，我可能来不及。"],
        noisy=True,
    ),
    Sample(
        "long call.opus",
        Encoding("ogg", "libopus", 48_000, 1, 24_000),
        [
            "你好，请问你是李经理？",
            "昨天的会议录音已经上传了。",
            "客户对服务质量有三个要求。",
            "我们什么时候能完成这份报告？",
            "好的，请在周五下午发邮件给我。",
            "谢谢大家。",
        ],
    ),
)


def performance(sample: Sample, rng: random.Random) -> Samples:
    """What is heard: an ordinary voice, a little silence around the words, noise where the sample says so."""
    rate = sample.encoding.rate
    delivery = speech.Delivery(rng.choice(VOICES), rng.randint(150, 185), rng.randint(40, 60))
    pauses = [rng.uniform(*PAUSE_SECONDS) for _ in sample.sentences[1:]]
    spoken = speech.recite(sample.sentences, delivery, pauses, rate)
    around = speech.silence(0.4, rate)
    samples = degrade.with_gain(np.concatenate([around, spoken, around]), -6)
    if sample.noisy:
        noise = np.random.default_rng(rng.getrandbits(32))
        samples = degrade.add_noise(samples, degrade.coloured_noise(len(samples), noise), NOISE_DB)
    return samples


def with_video(samples: Samples, encoding: Encoding) -> bytes:
    """A film: a bar that grows over a blue screen, and the samples as its sound."""
    target = io.BytesIO()
    width, height = VIDEO_SIZE
    with av.open(target, "w", format=encoding.container, options=REPEATABLE) as container:
        video = container.add_stream("mpeg4", rate=VIDEO_RATE)
        video.width, video.height, video.pix_fmt, video.bit_rate = width, height, "yuv420p", 20_000
        audio = add_stream(container, encoding)
        count = int(len(samples) / encoding.rate * VIDEO_RATE)
        for index in range(count):
            picture = np.zeros((height, width, 3), np.uint8)
            picture[:, :, 2] = 96
            picture[height // 2 - 8 : height // 2 + 8, : width * (index + 1) // count] = 255
            container.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(video.encode(None))
        write_audio(container, audio, samples, encoding)
    return target.getvalue()


def write(folder: Path) -> list[dict[str, Any]]:
    """Writes the recordings; returns what the truth file says of each."""
    rng = random.Random(SEED)
    entries: list[dict[str, Any]] = []
    for sample in SAMPLES:
        text = "".join(sample.sentences)
        if outside := foreign_characters(text):
            raise ValueError(f"{sample.file}: {text} needs {outside}")
        samples = performance(sample, rng)
        render = with_video if sample.video else encode
        (folder / sample.file).write_bytes(render(samples, sample.encoding))
        entries.append({"file": sample.file, "expect": "completed", "text": text, "error_class": None})
    silent = Encoding("wav", "pcm_s16le", 16_000)
    (folder / "silence.wav").write_bytes(encode(speech.silence(4.0, silent.rate), silent))
    entries.append({"file": "silence.wav", "expect": "no_speech", "text": None, "error_class": None})
    (folder / "broken.mp3").write_bytes(rng.randbytes(2_000))
    entries.append({"file": "broken.mp3", "expect": "dead-letter", "text": None, "error_class": "not_media"})
    return entries


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("consumer/demo/samples"))
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    entries = write(arguments.out)
    truth = json.dumps({"samples": entries}, ensure_ascii=False, indent=2)
    (arguments.out / "truth.json").write_text(truth + "\n", encoding="utf-8")
    total = sum(path.stat().st_size for path in arguments.out.iterdir())
    print(f"{len(entries)} recordings, {total / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
