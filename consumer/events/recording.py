"""What an upload event asks for, whatever dialect it came in."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, FailFast, Field, StringConstraints, model_validator

Hotword = Annotated[str, StringConstraints(min_length=1, max_length=64)]


class Options(BaseModel):
    """How one recording should be transcribed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    language: str = Field(default="zh", min_length=1, max_length=35, description="BCP 47 language tag")
    hotwords: Annotated[tuple[Hotword, ...], FailFast()] = Field(
        default=(), max_length=1000, description="phrases to favour"
    )
    channels: Literal["mix", "split"] = Field(
        default="mix", description="mix all channels into one, or transcribe each by itself"
    )
    timestamps: Literal["none", "sentence", "word"] = Field(
        default="word", description="what the segments of the transcript carry"
    )
    formats: Annotated[tuple[Literal["txt", "json", "srt", "vtt"], ...], FailFast()] = Field(
        default=(), description="files to store beside the event"
    )

    @model_validator(mode="before")
    @classmethod
    def _first_unknown(cls, options: object) -> object:
        """Keep one unknown option to complain of: each takes memory, and an event may have any number."""
        if not isinstance(options, dict):
            return options
        unknown = set(options).difference(cls.model_fields)
        unknown.discard(next((name for name in options if name in unknown), None))
        return {name: value for name, value in options.items() if name not in unknown}


class Recording(BaseModel):
    """One object to transcribe.

    ``key`` is the object's name as the storage knows it: never URL-encoded.
    """

    model_config = ConfigDict(frozen=True)

    bucket: str
    key: str
    version_id: str | None = None
    etag: str | None = Field(default=None, description="without quotes")
    size: int | None = Field(default=None, description="bytes, where the event tells (and can be trusted)")
    event_id: str | None = Field(default=None, description="the event's own id")
    for_model: str | None = Field(default=None, description="model revision that a replay asks for")
    options: Options = Options()
    metadata: dict[str, str] = Field(default_factory=dict)

    @property
    def object_id(self) -> str:
        """``bucket/key``: the key of outgoing records, and what a person looks for in a log."""
        return f"{self.bucket}/{self.key}"
