"""``tingxie demo`` as a user calls it: a process of its own, from start to end."""

from __future__ import annotations

import os
import pty
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from consumer.demo.endings import ending
from consumer.demo.samples import Ending, faults, load_samples
from consumer.kafka.follow import Follower
from consumer.kafka.records import Record
from consumer.settings import KafkaSettings, TopicSettings
from consumer.transcript.cer import CharacterErrors, compare

pytestmark = [pytest.mark.model, pytest.mark.timeout(900)]

ROOT = Path(__file__).parents[2]
TOPICS = TopicSettings()
OUTGOING = (TOPICS.transcripts, TOPICS.dead_letters)
COMMAND = (sys.executable, "-m", "consumer", "demo")
SAMPLES = load_samples()
MOST_ERRORS = 0.01
WAIT_S = 600
"""A machine that is busy with other things needs minutes to load the models."""

_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_LINE = re.compile(r"\[ *\d+/\d+\] (?P<state>done|no speech|dead letter) +(?P<rest>.*)")


def environment(temporary: Path) -> dict[str, str]:
    """Settings for another service, and a folder for temporary files that can be looked into afterwards."""
    foreign = {"TINGXIE_KAFKA__BOOTSTRAP_SERVERS": "nowhere.invalid:9092", "TINGXIE_STORAGE__ALLOWED_BUCKETS": '["no"]'}
    return {**os.environ, **foreign, "TMPDIR": str(temporary), "PYTHONPATH": str(ROOT), "TERM": "xterm-256color"}


@pytest.fixture(scope="module")
def temporary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("temporary")


@pytest.fixture(scope="module")
def done(temporary: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        COMMAND, capture_output=True, text=True, timeout=WAIT_S, check=False, env=environment(temporary), cwd=temporary
    )


def ends(output: str) -> dict[str, tuple[str, str]]:
    """State and words of each line about a sample, by its name."""
    found = {}
    for line in output.splitlines():
        if match := _LINE.fullmatch(line):
            name = next(each.name for each in SAMPLES if match["rest"].startswith(each.name))
            found[name] = match["state"], match["rest"].split(": ", maxsplit=1)[1]
    return found


def test_all_samples_end_as_they_should(done: subprocess.CompletedProcess[str]) -> None:
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"all {len(SAMPLES)} samples ended as they should" in done.stdout
    states = {"completed": "done", "no_speech": "no speech", "dead-letter": "dead letter"}
    found = ends(done.stdout)
    assert {name: state for name, (state, _) in found.items()} == {each.name: states[each.expect] for each in SAMPLES}
    for sample in SAMPLES:
        if sample.error_class:
            assert found[sample.name][1].startswith(f"{sample.error_class}: ")


def test_the_transcripts_are_right(done: subprocess.CompletedProcess[str]) -> None:
    found = ends(done.stdout)
    errors = CharacterErrors(0, 0)
    for sample in SAMPLES:
        if sample.text:
            errors += compare(sample.text, found[sample.name][1])
    assert errors.characters > 100
    assert f"character error rate {errors.rate:.2%} ({errors.edits} of {errors.characters} characters" in done.stdout
    assert errors.rate <= MOST_ERRORS, done.stdout


def test_only_the_demo_writes_to_stdout(done: subprocess.CompletedProcess[str]) -> None:
    first, *lines = done.stdout.splitlines()
    assert first == "starting the embedded broker and bucket …"
    of_demo = re.compile(
        r"(Kafka|bucket|topics|models)   ?\S|loading the models|transcribing \d+|\[[ \d]+/\d+\] |\d+ transcripts? · "
        r"|read back from the topics: |character error rate |✔ all |Try next|  \S|      \S|$"
    )
    assert [line for line in lines if not of_demo.match(line)] == []


def test_stderr_holds_warnings_only(done: subprocess.CompletedProcess[str]) -> None:
    lines = done.stderr.splitlines()
    assert [line for line in lines if '"level":"warning"' not in line] == []
    assert sum('"event":"dead letter"' in line for line in lines) == sum(bool(each.error_class) for each in SAMPLES)


def test_nothing_is_left_behind(done: subprocess.CompletedProcess[str], temporary: Path) -> None:
    assert done.returncode == 0
    assert list(temporary.iterdir()) == []


def test_what_it_says_to_try_next_works(
    done: subprocess.CompletedProcess[str], temporary: Path, tmp_path: Path
) -> None:
    suggested = next(line.strip() for line in done.stdout.splitlines() if " transcribe --demo-model " in line)
    sample = next(each for each in SAMPLES if each.expect == "completed")
    tried = subprocess.run(
        shlex.split(suggested),
        capture_output=True,
        text=True,
        timeout=WAIT_S,
        check=False,
        env=environment(tmp_path),
        cwd=temporary,
    )
    assert tried.returncode == 0, tried.stderr
    assert compare(sample.text, tried.stdout).rate < 0.1


@dataclass
class Terminal:
    """A demo that runs on a terminal of its own."""

    process: subprocess.Popen[bytes]
    descriptor: int
    screen: str = ""
    deadline: float = field(default_factory=lambda: time.monotonic() + WAIT_S)

    def until(self, pattern: str, start: int = 0) -> re.Match[str]:
        """Read what it shows until there is a match (from that character on); control sequences are left out."""
        while (match := re.compile(pattern).search(self.screen, start)) is None:
            assert time.monotonic() < self.deadline, self.screen
            self.screen += self._read()
        return match

    def end(self) -> int:
        """Read until it ended; returns its exit code."""
        while (shown := self._read()) != "":
            self.screen += shown
        return self.process.wait(timeout=60)

    def _read(self) -> str:
        try:
            # Enough at a time for whole characters: the terminal hands out what was written in one piece.
            return _CONTROL.sub("", os.read(self.descriptor, 1 << 16).decode(errors="replace"))
        except OSError:  # all ends are closed
            return ""


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    ours, its = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, "--keep", str(tmp_path / "drop" / "here")],
        stdin=its,
        stdout=its,
        stderr=its,
        env={**environment(tmp_path), "COLUMNS": "140", "LINES": "40"},
        cwd=tmp_path,
        start_new_session=True,
    )
    os.close(its)
    yield Terminal(process, ours)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    os.close(ours)


def test_dropped_files_are_transcribed_until_interrupted(terminal: Terminal, tmp_path: Path) -> None:
    address = terminal.until(r"Kafka +(127\.0\.0\.1:\d+) ")[1]
    terminal.until("samples ended as they should")
    told = terminal.until("TINGXIE_KAFKA__BOOTSTRAP_SERVERS=(\\S+) .* watch")
    assert told[1] == address
    folder = tmp_path / "drop" / "here"
    assert folder.is_dir()

    sample = next(each for each in SAMPLES if each.expect == "completed")
    (folder / "录音 a+b").mkdir()
    shutil.copy(sample.path, folder / "录音 a+b" / f"mine{sample.path.suffix}")
    (folder / "broken.wav").write_text("no sound\n" * 100, encoding="utf-8")
    for name in (rf"录音 a\+b/mine{sample.path.suffix} .* ✔ done", r"broken\.wav .* ✘ dead letter"):
        terminal.until(name, start=told.end())

    with closing(Follower(KafkaSettings(bootstrap_servers=address), OUTGOING, "beginning")) as reader:
        endings = read_back(reader, len(SAMPLES) + 2)
    assert faults(SAMPLES, endings) == []
    assert compare(sample.text, endings[f"录音 a+b/mine{sample.path.suffix}"].text).rate < 0.1
    assert endings["broken.wav"] == Ending("dead-letter", error_class="not_media")

    os.killpg(terminal.process.pid, signal.SIGINT)
    assert terminal.end() == 0
    assert terminal.screen.rstrip().endswith("× real time")
    assert "Traceback" not in terminal.screen
    assert [path.name for path in tmp_path.iterdir()] == ["drop"]


def read_back(reader: Follower, count: int) -> dict[str, Ending]:
    """How so many objects ended, as a consumer outside the demo sees it."""
    endings: dict[str, Ending] = {}
    deadline = time.monotonic() + 30
    records: list[Record] = []
    while len(endings) < count and time.monotonic() < deadline:
        records = reader.read()
        endings.update(filter(None, (ending(record, TOPICS) for record in records)))
    return endings
