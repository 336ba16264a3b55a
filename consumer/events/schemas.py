"""Writes or verifies the files in ``schemas/``: ``python -m consumer.events.schemas [--check] [DIR]``.

JSON Schemas (2020-12) and the AsyncAPI document come from the models; the examples are written by hand and copied
into the AsyncAPI document. With ``--check`` nothing is written, and the exit code tells whether all is as generated.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import orjson
from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode

from consumer.events import asyncapi
from consumer.events.deadletter import DeadLetterHeaders
from consumer.events.messages import DEAD_LETTER, EXAMPLES, NATIVE, TRANSCRIPT, Json
from consumer.events.native import NativeEvent
from consumer.events.transcript import Transcript

DIALECT = "https://json-schema.org/draft/2020-12/schema"
ASYNCAPI = "asyncapi.json"
EXAMPLES_FOLDER = "examples"


def json_schemas() -> dict[str, Json]:
    """JSON Schema of each event this program defines, by file name."""
    return {
        # As read: what has a default may be left out. As written: every field is there.
        NATIVE: _schema(NATIVE, NativeEvent, "validation"),
        TRANSCRIPT: _schema(TRANSCRIPT, Transcript, "serialization"),
        DEAD_LETTER: _schema(DEAD_LETTER, DeadLetterHeaders, "validation"),
    }


def documents(examples: Mapping[str, Json]) -> dict[str, bytes]:
    """Content of every generated file, by name, from the content of the example files by theirs."""
    values = json_schemas() | {ASYNCAPI: asyncapi.document(examples)}
    return {name: orjson.dumps(value, option=orjson.OPT_INDENT_2) + b"\n" for name, value in values.items()}


def orphans(found: Iterable[str]) -> list[str]:
    """What is wrong with the names of the example files: one that nothing names, or one that is missing."""
    names = set(found)
    return [
        *(f"{name}.json: no message names this example" for name in sorted(names - set(EXAMPLES))),
        *(f"{name}.json: this example is missing" for name in sorted(set(EXAMPLES) - names)),
    ]


def load_examples(folder: Path) -> dict[str, Json]:
    """The example files of a folder, by name without suffix."""
    return {path.stem: orjson.loads(path.read_bytes()) for path in sorted(folder.glob("*.json"))}


def main(arguments: Sequence[str]) -> int:
    """Write or verify the files; 0 when all is well, 1 when something differs, 2 for wrong arguments."""
    folders = [argument for argument in arguments if argument != "--check"]
    if len(folders) > 1 or any(folder.startswith("-") for folder in folders):
        _tell("usage: python -m consumer.events.schemas [--check] [DIR]")
        return 2
    folder = Path(folders[0] if folders else "schemas")
    examples = load_examples(folder / EXAMPLES_FOLDER)
    problems = orphans(examples)
    if problems:
        _tell(*(f"{folder / EXAMPLES_FOLDER}: {problem}" for problem in problems))
        return 1
    generated = documents(examples)
    stale = [name for name, content in generated.items() if _read(folder / name) != content]
    if "--check" in arguments:
        _tell(*(f"{folder / name}: differs from the models; run python -m consumer.events.schemas" for name in stale))
        return 1 if stale else 0
    for name in stale:
        (folder / name).write_bytes(generated[name])
        _tell(f"{folder / name}: written")
    return 0


class _WithoutFieldTitles(GenerateJsonSchema):
    """A field's title would only be its name again, in capitals."""

    def field_title_should_be_set(self, schema: object) -> bool:
        return False


def _schema(name: str, model: type[BaseModel], mode: JsonSchemaMode) -> Json:
    generated = model.model_json_schema(mode=mode, by_alias=True, schema_generator=_WithoutFieldTitles)
    return {"$schema": DIALECT, "$id": f"urn:tingxie:schema:{name.removesuffix('.schema.json')}"} | generated


def _read(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


def _tell(*lines: str) -> None:
    for line in lines:
        sys.stderr.write(f"{line}\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
