"""Schemas and examples: as generated, none orphaned, and each example does what it should.

The AsyncAPI document is checked here for what it refers to and how its parts belong together; against the official
JSON Schema of AsyncAPI 3.0 it is validated by hand when its form changes (see schemas/README.md).
"""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, FormatChecker
from pydantic import ValidationError
from referencing import Registry
from referencing.jsonschema import DRAFT202012

from consumer.errors import EventInvalid
from consumer.events import schemas
from consumer.events.asyncapi import SCHEMA_FORMAT
from consumer.events.deadletter import DeadLetter
from consumer.events.headers import traceparent
from consumer.events.messages import CHANNELS, DEAD_LETTER, EXAMPLES, MESSAGES, NATIVE, messages_of
from consumer.events.native import NativeEvent
from consumer.events.parse import Dialect, Skipped, UploadEvent, parse
from consumer.events.recording import Options, Recording
from consumer.events.transcript import Transcript
from consumer.settings import TopicSettings
from tests.unit.events.letters import letter_headers

FOLDER = Path(__file__).parents[3] / "schemas"
CONTENT = schemas.load_examples(FOLDER / "examples")
DOCUMENT: dict[str, Any] = json.loads((FOLDER / "asyncapi.json").read_bytes())

KEY = "calls/2026/听写 a+b 100%.wav"
ETAG = "9b2cf535f27731c974343645a3985328"


def recording(**values: Any) -> Recording:
    return Recording(**{"bucket": "audio-in", "key": KEY, "etag": ETAG, "size": 319532, **values})


EXPECTED: dict[str, UploadEvent] = {
    "native": UploadEvent(
        (
            recording(
                size=None,
                event_id="call-20261123-0007",
                options=Options(hotwords=("听写", "东方明珠"), channels="split", formats=("srt",)),
                metadata={"agent": "七号", "queue": "support"},
            ),
        ),
        (),
        "native",
    ),
    "s3-aws": UploadEvent(
        (recording(version_id="096fKKXTRTtl3on89fVO.nfljtsv6qko"),),
        (Skipped("removed", "ObjectRemoved:Delete", "audio-in/calls/2026/old.wav"),),
        "s3-aws",
    ),
    "s3-minio": UploadEvent((recording(),), (), "s3-minio"),
    "s3-versitygw": UploadEvent((recording(size=None, etag=f"{ETAG}-2"),), (), "s3-versitygw"),
    "s3-ceph": UploadEvent((recording(event_id=f"1795420800.102001.{ETAG}"),), (), "s3-ceph"),
    "s3-test-event": UploadEvent((), (Skipped("test_event", "s3:TestEvent", "audio-in"),), "s3"),
    "eventbridge": UploadEvent(
        (recording(version_id="IYV3p45BT0ac8hjHg1houSdS1a.Mro8e", event_id="17793124-05d4-b198-2fde-7ededc63b103"),),
        (),
        "eventbridge",
    ),
    "oss": UploadEvent((recording(etag=ETAG.upper()),), (), "oss"),
    "cloudevents-structured": UploadEvent(
        (
            recording(
                size=None,
                etag=None,
                event_id="call-20261123-0007",
                options=Options(channels="split"),
                metadata={"agent": "七号"},
            ),
        ),
        (),
        "cloudevents",
    ),
    "cloudevents-binary": UploadEvent(
        (recording(size=None, etag=None, event_id="call-20261123-0007", options=Options(channels="split")),),
        (),
        "cloudevents",
    ),
}


def validator(schema: Mapping[str, Any]) -> Draft202012Validator:
    """For a schema that may refer to the files in schemas/, formats checked."""
    files = [(f"./{path.name}", json.loads(path.read_bytes())) for path in FOLDER.glob("*.schema.json")]
    registry: Registry[Any] = Registry().with_resources(
        (name, DRAFT202012.create_resource(content)) for name, content in files
    )
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema, registry=registry, format_checker=FormatChecker())


def record(name: str) -> tuple[Any, dict[str, str]]:
    """Value and headers of an example."""
    content = CONTENT[name]
    return (content["value"], content["headers"]) if EXAMPLES[name].enveloped else (content, {})


def described(name: str, part: str) -> Draft202012Validator:
    """The validator of an example's payload or headers, by the AsyncAPI document."""
    return validator(DOCUMENT["components"]["messages"][EXAMPLES[name].message][part]["schema"])


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for name, inner in value.items():
            if name != "examples":
                yield from references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)


# --- drift ---------------------------------------------------------------------------------------------------------


def test_the_files_are_as_the_models_make_them() -> None:
    stale = [name for name, content in schemas.documents(CONTENT).items() if (FOLDER / name).read_bytes() != content]
    assert stale == [], "run python -m consumer.events.schemas"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(FOLDER, tmp_path / "schemas"))


def test_check_passes_on_the_checked_in_files(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert schemas.main(["--check", str(folder)]) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("name", [*schemas.json_schemas(), schemas.ASYNCAPI])
def test_check_finds_drift_and_writing_mends_it(folder: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    original = (folder / name).read_bytes()
    (folder / name).write_bytes(original.replace(b'"type"', b'"kind"', 1))
    assert schemas.main(["--check", str(folder)]) == 1
    assert name in capsys.readouterr().err
    assert schemas.main([str(folder)]) == 0
    assert (folder / name).read_bytes() == original


def test_check_finds_a_missing_file(folder: Path) -> None:
    (folder / schemas.ASYNCAPI).unlink()
    assert schemas.main(["--check", str(folder)]) == 1


def test_a_changed_example_is_drift_too(folder: Path) -> None:
    path = folder / "examples" / "native.json"
    path.write_text(path.read_text().replace("call-20261123-0007", "call-8"))
    assert schemas.main(["--check", str(folder)]) == 1


def test_wrong_arguments_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert schemas.main(["--chekc"]) == 2
    assert schemas.main(["a", "b"]) == 2
    assert "usage" in capsys.readouterr().err


# --- orphans -------------------------------------------------------------------------------------------------------


def test_every_example_is_named_and_there() -> None:
    assert schemas.orphans(CONTENT) == []


def test_an_orphaned_and_a_missing_example_are_found(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "examples" / "native.json").rename(folder / "examples" / "naive.json")
    assert schemas.main([str(folder)]) == 1
    told = capsys.readouterr().err
    assert "naive.json: no message names" in told
    assert "native.json: this example is missing" in told


def test_every_file_is_generated_or_explains() -> None:
    files = {path.name for path in FOLDER.iterdir() if path.is_file()}
    assert files == {*schemas.json_schemas(), schemas.ASYNCAPI, "README.md"}


def test_every_dialect_has_an_example() -> None:
    assert {example.dialect for example in EXAMPLES.values()} - {None} == set(get_args(Dialect))


def test_every_message_has_an_example_and_every_channel_a_message() -> None:
    assert {example.message for example in EXAMPLES.values()} == set(MESSAGES)
    assert {message.channel for message in MESSAGES.values()} == set(CHANNELS)


def test_every_schema_is_some_messages() -> None:
    files = {reference.removeprefix("./") for reference in references(DOCUMENT) if reference.startswith("./")}
    assert files == set(schemas.json_schemas())


def test_every_topic_of_the_settings_is_a_channel() -> None:
    assert set(TopicSettings().model_dump().values()) == set(CHANNELS)


# --- examples ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", EXAMPLES)
def test_each_example_fits_its_schemas(name: str) -> None:
    value, headers = record(name)
    described(name, "payload").validate(value)
    if headers:
        described(name, "headers").validate(headers)


@pytest.mark.parametrize("name", [name for name, example in EXAMPLES.items() if example.dialect is not None])
def test_each_upload_parses_to_what_it_says(name: str) -> None:
    value, headers = record(name)
    event = parse(json.dumps(value).encode(), [(header, text.encode()) for header, text in headers.items()])
    assert event == EXPECTED[name]
    assert event.dialect == EXAMPLES[name].dialect


@pytest.mark.parametrize("name", [name for name, example in EXAMPLES.items() if example.message == "transcript"])
def test_each_transcript_is_written_back_the_same(name: str) -> None:
    value, headers = record(name)
    transcript = Transcript.model_validate(value)
    assert json.loads(transcript.to_bytes()) == value
    assert headers["ce_id"] == transcript.id
    assert headers["ce_subject"] == transcript.object_id


def test_the_dead_letter_is_read() -> None:
    value, headers = record("dead-letter")
    letter = DeadLetter.from_headers([(name, text.encode()) for name, text in headers.items()])
    assert (letter.code, letter.stage, letter.retryable) == ("object_missing", "fetch", False)
    assert letter.recording == f"{value['bucket']}/{value['key']}"


def test_the_trace_context_of_an_example_is_valid() -> None:
    _, headers = record("cloudevents-binary")
    assert traceparent([("traceparent", headers["traceparent"].encode())]) == headers["traceparent"]


@pytest.mark.parametrize(
    ("name", "part", "path", "value"),
    [
        ("native", "payload", ["key"], 7),
        ("native", "payload", ["options", "speed"], 2),
        ("s3-aws", "payload", ["Records"], []),
        ("s3-minio", "payload", ["Records", 0, "s3", "object", "key"], ""),
        ("s3-test-event", "payload", ["Event"], "other"),
        ("eventbridge", "payload", ["source"], "aws.ec2"),
        ("oss", "payload", ["events", 0, "oss", "object", "size"], -1),
        ("cloudevents-structured", "payload", ["specversion"], "0.3"),
        ("cloudevents-binary", "headers", ["ce_specversion"], "0.3"),
        ("cloudevents-binary", "headers", ["ce_source"], "not a reference"),
        ("transcript-ready-completed", "payload", ["confidence"], 2),
        ("transcript-ready-completed", "headers", ["ce_time"], "yesterday"),
        ("dead-letter", "headers", ["__dlq.errors.offset"], "first"),
    ],
)
def test_schemas_refuse_what_is_wrong(name: str, part: str, path: list[Any], value: object) -> None:
    content: Any = copy.deepcopy(record(name)[0 if part == "payload" else 1])
    target = content
    for step in path[:-1]:
        target = target[step]
    target[path[-1]] = value
    assert not described(name, part).is_valid(content)


options = st.fixed_dictionaries(
    {},
    optional={
        "language": st.text(max_size=40) | st.none(),
        "hotwords": st.lists(st.text(max_size=70) | st.integers(), max_size=3) | st.text(),
        "channels": st.sampled_from(["mix", "split", "left"]),
        "timestamps": st.sampled_from(["none", "sentence", "word", None]),
        "formats": st.lists(st.sampled_from(["srt", "vtt", "doc"]), max_size=3),
        "speed": st.just(2),
    },
)
# JSON Schema's patterns are ECMAScript's; in Python's, "$" also matches before a last newline.
bucket_names = st.text(max_size=5).filter(lambda name: not name.endswith("\n"))
native_events = st.fixed_dictionaries(
    {"bucket": bucket_names | st.integers(), "key": st.text(max_size=5) | st.none()},
    optional={
        "id": st.text(max_size=300) | st.none() | st.integers(),
        "version_id": st.text(max_size=5) | st.none() | st.booleans(),
        "etag": st.text(max_size=5) | st.none(),
        "options": options | st.none(),
        "metadata": st.dictionaries(st.text(max_size=5), st.text(max_size=5) | st.integers(), max_size=2) | st.none(),
        "more": st.integers(),
    },
)


@given(native_events)
def test_the_native_schema_accepts_exactly_what_the_parser_does(event: dict[str, Any]) -> None:
    try:
        NativeEvent.model_validate(event)
    except ValidationError:
        accepted = False
    else:
        accepted = True
    assert NATIVE_VALIDATOR.is_valid(event) == accepted


NATIVE_VALIDATOR = validator({"$ref": f"./{NATIVE}"})


@given(st.integers(0, 100), st.integers(0, 2**62), st.text(), st.none() | st.text(max_size=9))
def test_dead_letter_headers_fit_their_schema(
    partition: int, offset: int, message: str, recording_id: str | None
) -> None:
    headers = letter_headers(partition=partition, offset=offset, error=EventInvalid(message), recording_id=recording_id)
    DEAD_LETTER_VALIDATOR.validate({name: (value or b"").decode() for name, value in headers})


DEAD_LETTER_VALIDATOR = validator({"$ref": f"./{DEAD_LETTER}"})


# --- AsyncAPI ------------------------------------------------------------------------------------------------------


def test_every_reference_inside_the_document_resolves() -> None:
    inside = [reference for reference in references(DOCUMENT) if reference.startswith("#/")]
    assert inside
    for reference in inside:
        target: Any = DOCUMENT
        for step in reference.removeprefix("#/").split("/"):
            target = target[step]


def test_operations_are_about_all_messages_of_their_channel() -> None:
    assert DOCUMENT["asyncapi"] == "3.0.0"
    about = {}
    for operation in DOCUMENT["operations"].values():
        channel = operation["channel"]["$ref"].removeprefix("#/channels/")
        prefix = f"#/channels/{channel}/messages/"
        about[channel] = [message["$ref"].removeprefix(prefix) for message in operation["messages"]]
        assert operation["action"] == CHANNELS[channel][1]
    assert about == {channel: messages_of(channel) for channel in CHANNELS}


def test_examples_in_the_document_are_the_files() -> None:
    shown = {
        example["name"]: (example["payload"], example.get("headers", {}))
        for message in DOCUMENT["components"]["messages"].values()
        for example in message["examples"]
    }
    assert shown == {name: record(name) for name in EXAMPLES}


def test_every_payload_says_its_schema_format() -> None:
    for message in DOCUMENT["components"]["messages"].values():
        for part in ("payload", "headers"):
            if part in message:
                assert message[part]["schemaFormat"] == SCHEMA_FORMAT
                validator(message[part]["schema"])
