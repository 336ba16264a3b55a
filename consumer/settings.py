"""All settings, read once: environment ``TINGXIE_<SECTION>__<NAME>`` first, then the TOML file of ``--config``."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
)
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)
from pydantic_settings.exceptions import SettingsError

from consumer.errors import UsageError
from consumer.setting_types import ClientProperties, CollectorUrl, Delays, Names, Properties, Url

PARAFORMER = "iic/speech_paraformer-large-vad-punc_asr_nat-zh-cn-16k-common-vocab8404-pytorch"
FSMN_VAD = "iic/speech_fsmn_vad_zh-cn-16k-common-pytorch"
CT_TRANSFORMER = "iic/punc_ct-transformer_zh-cn-common-vocab272727-pytorch"


class Section(BaseModel):
    """A group of settings; unknown names are refused, so that a typo is not silently the default."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class KafkaSettings(Section):
    """The broker and the consumer group."""

    bootstrap_servers: str = Field(default="localhost:9092", description="host:port, several with commas")
    group_id: str = Field(default="tingxie", min_length=1, description="consumer group; one per service")
    group_protocol: Literal["classic", "consumer"] = Field(
        default="classic", description="consumer: the broker assigns partitions (KIP-848, Kafka 4)"
    )
    instance_id: str = Field(
        default="",
        description="name of this member that outlives its process, so that a restart within the session timeout "
        "moves no partition; unique in the group, a StatefulSet's pod name for instance; empty for none",
    )
    ordering: Literal["object", "none"] = Field(
        default="object", description="object: two events of one object are worked on one after the other"
    )
    properties: ClientProperties = Field(
        default_factory=Properties, description="any librdkafka property, as JSON; wins over what this program sets"
    )
    commit_interval_ms: int = Field(default=1000, ge=10, description="how often completed offsets are committed")
    startup_timeout_s: float = Field(default=30.0, gt=0, description="how long to wait for a broker at the start")


class StorageSettings(Section):
    """The object storage recordings are fetched from, and large transcripts are written to."""

    endpoint_url: Url = Field(default=None, description="URL of an S3-compatible storage; AWS when unset")
    region: str = Field(default="us-east-1", description="region requests are signed for")
    path_style: bool = Field(default=False, description="address objects as URL/bucket/key, as most own storages need")
    access_key_id: str | None = Field(default=None, description="unset: the usual AWS credential chain")
    secret_access_key: SecretStr | None = Field(default=None, description="unset: the usual AWS credential chain")
    allowed_buckets: Names = Field(
        default=(), description="buckets an event may name, with commas; empty allows all that the credentials can read"
    )
    transcript_bucket: str = Field(
        default="",
        description="bucket for transcripts too large for an event, see limits.transcript_bytes; "
        "empty: those are dead-lettered when the topic refuses them",
    )
    transcript_prefix: str = Field(
        default="transcripts/", max_length=900, description="what the keys of those begin with"
    )
    connect_timeout_s: float = Field(default=5.0, gt=0, description="for a connection to be made")
    read_timeout_s: float = Field(default=30.0, gt=0, description="for the next bytes to arrive")


class TopicSettings(Section):
    """Topic names."""

    uploads: str = Field(default="audio-uploaded", description="upload events in")
    transcripts: str = Field(default="transcript-ready", description="transcripts out")
    dead_letters: str = Field(default="audio-uploaded.dead-letter", description="what cannot be transcribed")


class LimitSettings(Section):
    """What one recording may cost, and how much may be in flight."""

    object_bytes: int = Field(default=2 * 1024**3, gt=0, description="largest object, bytes")
    audio_seconds: int = Field(default=12 * 3600, gt=0, description="longest recording")
    fetch_seconds: float = Field(default=3600.0, gt=0, description="wall time for downloading one recording")
    decode_seconds: int = Field(default=900, gt=0, description="wall time for decoding one recording")
    decode_cpu_seconds: int = Field(default=600, gt=0, description="processor time for decoding one recording")
    decode_bytes: int = Field(
        default=1024**3, ge=512 * 1024**2, description="address space of a decoder process, in bytes"
    )
    channels: int = Field(default=16, gt=0, le=64, description="most channels in a recording")
    lowest_sample_rate: int = Field(default=4_000, gt=0, description="lowest sample rate of a recording, Hz")
    highest_sample_rate: int = Field(default=384_000, gt=0, description="highest sample rate of a recording, Hz")
    transcript_bytes: int | None = Field(
        default=None,
        gt=0,
        description="largest record of a transcript, headers included; a larger one is stored in "
        "storage.transcript_bucket; unset: message.max.bytes of kafka.properties, else 1,000,000",
    )
    in_flight_records: int = Field(default=256, gt=0, description="recordings in work at once")
    in_flight_bytes: int = Field(default=8 * 1024**3, gt=0, description="bytes of their objects")
    in_flight_audio_seconds: int = Field(default=24 * 3600, gt=0, description="seconds of their decoded audio")
    fetch_workers: int = Field(default=4, gt=0, description="parallel downloads")
    decode_workers: int = Field(default=2, gt=0, description="decoder processes")
    spool_free_bytes: int = Field(
        default=512 * 1024**2, ge=0, description="no recording is begun while the spool's disk has less free than this"
    )
    spool_dir: Path = Field(
        default_factory=lambda: Path(tempfile.gettempdir()) / "tingxie", description="where audio in work is kept"
    )
    drain_seconds: float = Field(default=25.0, ge=0, description="how long SIGTERM lets work finish")
    revoke_seconds: float = Field(
        default=5.0,
        ge=0,
        description="how long a rebalance lets work on a partition finish that goes to another member",
    )
    dead_letter_share: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="consumption pauses when more than this share of recordings end as dead letters; 1 never pauses it",
    )
    dead_letter_count: int = Field(default=50, ge=1, description="… and at least so many within the window")
    dead_letter_window_seconds: float = Field(default=600.0, gt=0, description="length of that window")
    dead_letter_probe_seconds: float = Field(
        default=60.0, gt=0, description="how often one recording is tried while consumption is paused"
    )
    stall_seconds: float = Field(
        default=120.0,
        gt=0,
        description="a loop that has not turned for so long is stuck: the process logs all stacks and ends",
    )


class EngineSettings(Section):
    """The models and the device they run on."""

    model: str = Field(default=PARAFORMER, description="Paraformer: a hub's model id or a local FunASR folder")
    model_revision: str = Field(default="v2.0.4", description="revision of a model id")
    vad: str = Field(default=FSMN_VAD, description="FSMN-VAD: a model id or a local folder")
    vad_revision: str = Field(default="v2.0.4", description="revision of a model id")
    punctuation: str = Field(default=CT_TRANSFORMER, description="CT-Transformer: id or folder; empty for none")
    punctuation_revision: str = Field(default="v2.0.4", description="revision of a model id")
    device: Literal["auto", "cuda", "cpu"] = Field(default="auto", description="auto: a GPU when there is one")
    dtype: Literal["auto", "float32", "bfloat16"] = Field(
        default="auto", description="auto: bfloat16 on a GPU that has it, float32 elsewhere"
    )
    threads: int = Field(default=0, ge=0, description="CPU threads of the models; 0 lets torch choose")
    batch_seconds: float = Field(
        default=60.0, gt=0, description="most audio in one batch, padding included, in seconds"
    )
    batch_wait_ms: int = Field(
        default=20, ge=0, description="how long speech may wait for more to fill its batch, while the device is idle"
    )
    reference_audio: Path | None = Field(
        default=None,
        description="recording that models must understand before they serve: WAV, mono, 16 kHz, 16 bit; unset: one "
        "that is shipped",
    )
    reference_text: str = Field(
        default="", description="what is said in it; empty: what the models heard that are replaced"
    )
    reference_error_rate: float = Field(
        default=0.3, ge=0, le=1, description="most of its characters that may be wrong, as a share"
    )
    load_seconds: float = Field(
        default=1800.0, gt=0, description="how long the models may take to load, their download included"
    )
    stall_seconds: float = Field(
        default=300.0,
        gt=0,
        description="an engine that has worked on one batch for so long is stuck: the process logs all stacks and ends",
    )


class RetrySettings(Section):
    """Retries in place, then through topics, before a recording is dead-lettered."""

    attempts: int = Field(default=5, ge=1, description="tries in place, of each round")
    backoff_ms: int = Field(default=200, ge=1, description="bound of the first pause; doubles with each attempt")
    backoff_max_ms: int = Field(default=10_000, ge=1, description="bound of any pause")
    delays: Delays = Field(
        default=("30s", "5m"),
        description="rounds after the first, with commas: a topic <topics.uploads>.retry.<delay> for each; "
        "empty: dead letters at once",
    )
    poison_deaths: int = Field(
        default=3,
        ge=2,
        description="a record in work while so many processes in a row died is dead-lettered; the last of these tries "
        "it has the process for itself",
    )


class TelemetrySettings(Section):
    """Logs, metrics, health and traces."""

    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="least severe level that is written"
    )
    log_format: Literal["auto", "json", "console"] = Field(
        default="auto", description="auto: JSON unless on a terminal"
    )
    host: str = Field(default="0.0.0.0", description="address of /live, /ready and /metrics")  # noqa: S104 - a pod's
    port: int = Field(default=9464, ge=0, le=65535, description="port of /live, /ready and /metrics; 0 turns it off")
    admin_port: int = Field(
        default=0, ge=0, le=65535, description="port of /-/reload on the loopback address; 0 turns it off"
    )
    ce_source: str = Field(default="tingxie", min_length=1, description="ce_source of outgoing events")
    traces: Literal["none", "otlp"] = Field(
        default="none", description="otlp: a trace of each recording goes to an OpenTelemetry collector"
    )
    otlp_endpoint: CollectorUrl = Field(
        default="",
        description="URL of a collector that takes OTLP over HTTP, without /v1/traces; "
        "empty: OTEL_EXPORTER_OTLP_ENDPOINT, else http://localhost:4318",
    )
    trace_ratio: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="share of recordings that are traced, where the upload's own trace does not say; "
        "unset: OTEL_TRACES_SAMPLER, else all",
    )


class Settings(BaseSettings):
    """Every setting, by section."""

    model_config = SettingsConfigDict(
        env_prefix="TINGXIE_",
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        nested_model_default_partial_update=True,
    )

    kafka: KafkaSettings = KafkaSettings()
    storage: StorageSettings = StorageSettings()
    topics: TopicSettings = TopicSettings()
    limits: LimitSettings = LimitSettings()
    engine: EngineSettings = EngineSettings()
    retry: RetrySettings = RetrySettings()
    telemetry: TelemetrySettings = TelemetrySettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the signature is the library's
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments, then the environment, then the TOML file named by ``toml_file``."""
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)


def load_settings(config: Path | None = None, **overrides: Mapping[str, Any]) -> Settings:
    """Read all settings.

    Args:
        config: TOML file with a table for each section, or None.
        overrides: whole or partial sections that win over environment and file.

    Raises:
        UsageError: lists every problem found, each with the setting's name.
    """
    if config is not None:
        _check_readable(config)

    class FromFile(Settings):
        model_config = SettingsConfigDict(toml_file=config)

    problems = [
        f"{name}: there is no such section; sections are {', '.join(Settings.model_fields)}"
        for name in _unknown_sections(os.environ)
    ]
    try:
        settings = FromFile(**overrides)  # type: ignore[arg-type]
    except ValidationError as error:
        problems += [f"{_name(each['loc'])}: {each['msg']}" for each in error.errors(include_input=False)]
    except (SettingsError, ValueError) as error:  # broken JSON in a variable, broken TOML in the file
        cause = f" ({error.__cause__})" if error.__cause__ else ""
        problems.append(f"{error}{cause}; tables are written as JSON in the environment")
    if problems:
        raise UsageError("settings are wrong:\n" + "\n".join(f"  {problem}" for problem in problems))
    return Settings.model_construct(**{name: getattr(settings, name) for name in Settings.model_fields})


def _check_readable(config: Path) -> None:
    try:
        config.open("rb").close()
    except OSError as error:
        raise UsageError(f"settings file {config} cannot be read: {error.strerror}") from error


def _unknown_sections(environment: Iterable[str]) -> list[str]:
    """Variables with our prefix and a section that does not exist: pydantic-settings ignores those."""
    known = {name.upper() for name in Settings.model_fields}
    ours = (name for name in environment if name.upper().startswith("TINGXIE_") and "__" in name)
    return sorted(name for name in ours if name.upper().removeprefix("TINGXIE_").split("__")[0] not in known)


def _name(location: tuple[int | str, ...]) -> str:
    """``kafka.group_id`` (``TINGXIE_KAFKA__GROUP_ID``): both ways a person may have set it."""
    dotted = ".".join(str(part) for part in location)
    variable = "TINGXIE_" + "__".join(str(part) for part in location[:2]).upper()
    return f"{dotted} ({variable})"
