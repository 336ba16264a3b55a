"""An OpenTelemetry collector that writes the traces it is sent into a file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

import yaml

from tests.servers.cache import go_install, install_once, run_installer
from tests.servers.process import Server, ServerProcess, free_ports

VERSION = "0.165.0"
NAME = f"otelcol-{VERSION}"
BUILDER = f"go.opentelemetry.io/collector/cmd/builder@v{VERSION}"
CORE = f"go.opentelemetry.io/collector/{{}} v{VERSION}"
PARTS = {
    "receivers": [CORE.format("receiver/otlpreceiver")],
    "exporters": [f"github.com/open-telemetry/opentelemetry-collector-contrib/exporter/fileexporter v{VERSION}"],
    "providers": ["go.opentelemetry.io/collector/confmap/provider/fileprovider v1.71.0"],
}
START_S = 60.0
HOUR_S = 3600.0


def install() -> Path:
    """The collector's program, built by Go when absent (1 to 5 minutes, 38 MB): there is no module to install it from.

    Raises:
        ServerError: Go is missing or the build failed.
    """
    return install_once(NAME, _build) / "otelcol"


def _build(folder: Path) -> None:
    source = folder / "source"
    parts = {kind: [{"gomod": module} for module in modules] for kind, modules in PARTS.items()}
    dist = {"name": "otelcol", "module": "tests/otelcol", "output_path": str(source)}
    config = folder / "builder.yaml"
    config.write_text(yaml.safe_dump({"dist": dist, "conf_resolver": {"default_uri_scheme": "file"}, **parts}))
    go_install(NAME, BUILDER, folder)
    # `go mod tidy`, which the builder would run, also asks for what only the tests of these modules import.
    generate = [str(folder / "builder"), f"--config={config}", "--skip-get-modules", "--skip-compilation"]
    run_installer(NAME, generate, cwd=folder, timeout_s=60)
    modules = [CORE.format("otelcol"), *(module for modules in PARTS.values() for module in modules)]
    (source / "go.mod").write_text(
        f"module {dist['module']}\n\ngo 1.25.0\n\nrequire (\n" + "\n".join(modules) + "\n)\n"
    )
    env = {"GOTOOLCHAIN": "auto", "GOFLAGS": "-mod=mod -trimpath", "CGO_ENABLED": "0"}
    build = ["go", "build", "-ldflags=-s -w", "-o", str(folder / "otelcol"), "."]
    run_installer(NAME, build, cwd=source, env=env, timeout_s=HOUR_S)


@dataclass(frozen=True, slots=True)
class CollectedSpan:
    """A span as the collector got it.

    Attributes:
        name: of the span.
        trace_id, span_id, parent_id: hexadecimal digits; no parent is an empty text.
        kind: 1 internal, 4 producer, 5 consumer.
        start_ns, end_ns: epoch nanoseconds.
        failed: whether its status is an error.
        attributes: of the span.
        events: names of what happened in it.
        service: ``service.name`` of who sent it.
    """

    name: str
    trace_id: str
    span_id: str
    parent_id: str
    kind: int
    start_ns: int
    end_ns: int
    failed: bool
    attributes: dict[str, str]
    events: list[str]
    service: str


class Collector(Server):
    """A collector on a free loopback port that takes OTLP over HTTP."""

    def __init__(self) -> None:
        super().__init__(NAME, "tingxie-collector-")
        (self._port,) = free_ports(1)
        self._traces = self._folder / "traces.jsonl"

    @property
    def endpoint_url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Start it and return when it takes traces."""
        config = self._folder / "collector.yaml"
        config.write_text(
            yaml.safe_dump(
                {
                    "receivers": {"otlp": {"protocols": {"http": {"endpoint": f"127.0.0.1:{self._port}"}}}},
                    "exporters": {"file": {"path": str(self._traces)}},
                    "service": {
                        "telemetry": {"metrics": {"level": "none"}},
                        "pipelines": {"traces": {"receivers": ["otlp"], "exporters": ["file"]}},
                    },
                }
            )
        )
        self._process = ServerProcess(NAME, [str(install()), f"--config=file:{config}"], self._log)
        self._process.wait_until(self._takes_traces, START_S)

    def spans(self) -> list[CollectedSpan]:
        """All that it was sent and has written so far."""
        lines = self._traces.read_text().splitlines(keepends=True) if self._traces.exists() else []
        return [span for line in lines if line.endswith("\n") for span in _spans(json.loads(line))]

    def _takes_traces(self) -> bool:
        connection = HTTPConnection("127.0.0.1", self._port, timeout=5.0)
        try:
            connection.request("POST", "/v1/traces", b"{}", {"content-type": "application/json"})
            return connection.getresponse().status == 200
        except (OSError, HTTPException):
            return False
        finally:
            connection.close()


def _spans(batch: Any) -> Iterator[CollectedSpan]:
    for sent in batch["resourceSpans"]:
        service = _values(sent["resource"])["service.name"]
        for scope in sent["scopeSpans"]:
            for span in scope["spans"]:
                yield CollectedSpan(
                    name=span["name"],
                    trace_id=span["traceId"],
                    span_id=span["spanId"],
                    parent_id=span.get("parentSpanId", ""),
                    kind=span["kind"],
                    start_ns=int(span["startTimeUnixNano"]),
                    end_ns=int(span["endTimeUnixNano"]),
                    failed=span.get("status", {}).get("code") == 2,
                    attributes=_values(span),
                    events=[event["name"] for event in span.get("events", [])],
                    service=service,
                )


def _values(holder: Any) -> dict[str, str]:
    return {each["key"]: str(next(iter(each["value"].values()))) for each in holder.get("attributes", [])}
