"""Thousands of damaged recordings through the real decoder processes: each ends as the failure table says."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from consumer.audio.decoder import DecodeJob, Decoder
from consumer.errors import (
    AudioTooLong,
    AudioUnsupported,
    DecoderCrashed,
    DecoderTimedOut,
    NoAudioStream,
    NotMedia,
)
from consumer.settings import LimitSettings
from consumer.storage.spool import Spool
from consumer.transcript.types import DecodedAudio
from tests.fuzz.mutate import mutant, originals
from tests.fuzz.own import holdings

SEED = int(os.environ.get("TINGXIE_FUZZ_SEED", "5"))
FILES = int(os.environ.get("TINGXIE_FUZZ_FILES", "2000"))
WARM_UP = 200
"""Files after which this process has its caches, and should grow no more."""
MOST_GROWTH = 16 * 1024
"""KiB; a leak of 10 KiB a file would be more."""

LIMITS = LimitSettings(decode_workers=2, decode_seconds=60, decode_cpu_seconds=10, audio_seconds=120, channels=8)
TABLE = (NotMedia, NoAudioStream, AudioTooLong, AudioUnsupported, DecoderTimedOut)

Run = Callable[[int], str]


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    with Spool(tmp_path / "spool") as spool:
        yield spool


@pytest.fixture
def run(spool: Spool) -> Iterator[Run]:
    """Decode the mutant of a number, and say how it ended."""
    with Decoder(LIMITS, spool) as decoder:

        def end(number: int) -> str:
            made = mutant(SEED, number)
            source = spool.new_path()
            source.write_bytes(made.data)
            try:
                audio = decoder.decode(DecodeJob(source, split=number % 4 == 0))
                check(audio)
                for track in audio.tracks:
                    spool.remove(track.path)
            except TABLE as error:
                return error.code
            except DecoderCrashed as error:
                # A process that dies costs one recording, as it should; to know of it is what this test is for.
                if "limits.decode_bytes" not in str(error):
                    raise
                return "too_much_memory"
            except BaseException as error:
                error.args = (*error.args, f"python -m tests.fuzz.mutate {SEED} {number} FILE ({made.origin})")
                raise
            finally:
                spool.remove(source)
            return "decoded"

        yield end


def check(audio: DecodedAudio) -> None:
    """What the engine may rely on."""
    assert 1 <= len(audio.tracks) <= LIMITS.channels
    for number, track in enumerate(audio.tracks):
        assert track.channel == number
        assert 0 < track.samples <= LIMITS.audio_seconds * 16_000
        assert track.path.stat().st_size == 2 * track.samples
    assert audio.duration_ms == max(track.samples for track in audio.tracks) // 16
    assert LIMITS.lowest_sample_rate <= audio.sample_rate <= LIMITS.highest_sample_rate
    assert 1 <= audio.channels <= LIMITS.channels
    assert audio.format
    assert audio.codec


@pytest.mark.fuzz
@pytest.mark.timeout(900)
def test_damaged_recordings_end_as_the_failure_table_says(
    run: Run, spool: Spool, capsys: pytest.CaptureFixture[str]
) -> None:
    with ThreadPoolExecutor(LIMITS.decode_workers) as pool:
        ends = Counter(pool.map(run, range(WARM_UP)))
        before = holdings()
        ends.update(pool.map(run, range(WARM_UP, FILES)))
        after = holdings()
    with capsys.disabled():
        sys.stdout.write(f"\n{FILES} damaged recordings, TINGXIE_FUZZ_SEED={SEED}: {dict(ends.most_common())}; ")
        sys.stdout.write(f"memory +{after.kibibytes - before.kibibytes} KiB\n")

    assert ends.total() == FILES
    assert [path.name for path in spool.folder.iterdir()] == ["lock"]
    assert after.kibibytes - before.kibibytes < MOST_GROWTH
    assert after[1:] == before[1:]
    # Damage of all degrees: else the mutants show little.
    assert ends["decoded"] > FILES // 5
    assert ends["not_media"] > FILES // 20


def test_a_mutant_can_be_made_again_by_its_number() -> None:
    assert [mutant(3, number) for number in range(60)] == [mutant(3, number) for number in range(60)]
    assert mutant(3, 1).data != mutant(4, 1).data


def test_mutants_are_of_every_container_and_most_are_damaged() -> None:
    made = [mutant(SEED, number) for number in range(10 * len(originals()))]
    assert {each.origin for each in made} == {name for name, _ in originals()}
    whole = {data for _, data in originals()}
    assert sum(each.data not in whole for each in made) > len(made) * 0.95
