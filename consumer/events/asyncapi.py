"""The AsyncAPI 3.0 document: topics, messages and examples in one machine-readable place."""

from __future__ import annotations

from collections.abc import Mapping

from consumer.events.headers import COPY_OF, FOR_MODEL, RECORDING, REDRIVES, REPLAY
from consumer.events.messages import CHANNELS, EXAMPLES, MESSAGES, TEXT, Json, messages_of

SCHEMA_FORMAT = "application/schema+json;version=2020-12"


def document(examples: Mapping[str, Json]) -> Json:
    """The whole document.

    Args:
        examples: content of the example files by name; those of `EXAMPLES` must all be there.
    """
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "tingxie",
            "version": "1.0.0",
            "description": "Recordings land in a bucket, transcripts come out of a Kafka topic. "
            "Topic names are the defaults; each can be set.",
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": {name: _channel(name) for name in CHANNELS},
        "operations": {_operation_name(name): _operation(name) for name in CHANNELS},
        "components": {"messages": {name: _message(name, examples) for name in MESSAGES}},
    }


def _channel(channel: str) -> Json:
    return {
        "address": channel,
        "description": CHANNELS[channel][0],
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages_of(channel)},
        "bindings": {"kafka": {"topic": channel, "bindingVersion": "0.5.0"}},
    }


def _operation(channel: str) -> Json:
    reference = f"#/channels/{channel}"
    return {
        "action": CHANNELS[channel][1],
        "channel": {"$ref": reference},
        "messages": [{"$ref": f"{reference}/messages/{name}"} for name in messages_of(channel)],
    }


def _operation_name(channel: str) -> str:
    return f"{CHANNELS[channel][1]}-{channel}"


def _message(name: str, examples: Mapping[str, Json]) -> Json:
    message = MESSAGES[name]
    described: Json = {
        "name": name,
        "title": message.summary,
        "contentType": message.content_type,
        "payload": {"schemaFormat": SCHEMA_FORMAT, "schema": message.payload},
        "bindings": {"kafka": {"key": TEXT | {"description": CHANNELS[message.channel][2]}, "bindingVersion": "0.5.0"}},
    }
    headers = message.headers
    if message.channel == "audio-uploaded":
        about = {
            RECORDING: TEXT | {"description": "bucket/key: process this recording of the event alone"},
            REPLAY: TEXT | {"description": "id of the replay that sent the event again"},
            FOR_MODEL: TEXT | {"description": "model revision that the replay asks for"},
            REDRIVES: TEXT | {"description": "how often the event came back from the dead-letter topic, decimal"},
            COPY_OF: TEXT | {"description": "topic/partition/offset of what a replay or a redrive sent again"},
        }
        headers = (headers or {"type": "object"}) | {"properties": (headers or {}).get("properties", {}) | about}
    if headers is not None:
        described["headers"] = {"schemaFormat": SCHEMA_FORMAT, "schema": headers}
    described["examples"] = [
        _example(title, examples[title], enveloped=example.enveloped)
        for title, example in EXAMPLES.items()
        if example.message == name
    ]
    return described


def _example(name: str, content: Json, *, enveloped: bool) -> Json:
    if not enveloped:
        return {"name": name, "payload": content}
    return {"name": name, "headers": content["headers"], "payload": content["value"]}
