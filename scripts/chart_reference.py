"""Write the chart's README.md and values.schema.json: ``python scripts/chart_reference.py [--check]``.

The README's table comes from the comments in values.yaml: the lines right above a name say what it is. Of the schema
only the settings are written, from the program's own, but for those that have no place in values: secrets, and what
the chart itself sets.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, SecretStr

from consumer.settings import Settings

ROOT = Path(__file__).parents[1]
CHART = ROOT / "helm" / "tingxie"
README, SCHEMA, VALUES = CHART / "README.md", CHART / "values.schema.json", CHART / "values.yaml"

# instance_id: one for all pods would make each fence the others. spool_dir and host: the chart sets these.
NO_VALUES = {"kafka.instance_id", "limits.spool_dir", "telemetry.host"}
KEPT = (
    "description",
    "type",
    "enum",
    "minimum",
    "exclusiveMinimum",
    "maximum",
    "items",
    "additionalProperties",
    "anyOf",
)

HEAD = """# Helm chart

A consumer group of `tingxie` on Kubernetes: a Deployment with one GPU a pod, its settings, and what watches over and
scales it. Written from the comments of `values.yaml` by `make docs`; do not edit.

```sh
helm install transcripts helm/tingxie --set settings.kafka.bootstrap_servers=kafka:9092
```

The topics must exist: `audio-uploaded`, `transcript-ready`, `audio-uploaded.dead-letter`, and one for each retry
delay, `audio-uploaded.retry.30s` and `.5m`; dead letters and retries need
[room for headers](../../docs/operations.md#topics). [Settings](../../docs/settings.md) are values, too:
`settings.limits.drain_seconds` becomes `TINGXIE_LIMITS__DRAIN_SECONDS`. Names that do not exist are refused, as are
values that contradict each other.

- **A rollout loses nothing.** SIGTERM lets work finish for `limits.drain_seconds`; the grace period is longer by what
  follows, and a shorter one is refused. `rollout.surge=false` never asks for more GPUs than there are.
- **A start may take long.** Models are downloaded and loaded; the startup probe waits for `engine.load_seconds`
  before anything else is probed. `models.persistence` keeps them, `models.initDownload` fetches them before.
- **Nothing is privileged.** Not root, a read-only root file system, no capabilities, seccomp `RuntimeDefault`, no
  token of Kubernetes.
- **Secrets exist already.** The chart makes none and refuses passwords among the settings; `credentials` names yours.
- **Watched.** `files/alerts.yaml` are alerts for any Prometheus, `files/dashboard.json` is a dashboard for any
  Grafana; `prometheusRule`, `podMonitor` and `dashboard` hand them to their operators.
  [Metrics](../../docs/metrics.md), [what to do about alerts](../../docs/operations.md).

Examples that are tested: `ci/`.

| value | default | what it is |
| --- | --- | --- |
"""

LINE = re.compile(r"(?P<indent> *)(?P<name>[A-Za-z]\w*):(?P<rest>.*)")


def documented() -> Iterator[tuple[tuple[str, ...], str]]:
    """Path and meaning of every name in values.yaml that has a comment."""
    comment: list[str] = []
    path: list[str] = []
    for line in VALUES.read_text().splitlines():
        if line.lstrip().startswith("#"):
            comment.append(line.strip("# "))
            continue
        if (match := LINE.fullmatch(line)) is not None:
            del path[len(match["indent"]) // 2 :]
            path.append(match["name"])
            if comment:
                yield tuple(path), " ".join(comment)
        comment = []


def value_at(path: tuple[str, ...]) -> Any:
    """The default of a value."""
    value = yaml.safe_load(VALUES.read_text())
    for name in path:
        value = value[name]
    return value


def readme() -> str:
    """The chart's page as Markdown."""
    return HEAD + "".join(
        f"| `{'.'.join(path)}` | `{json.dumps(value_at(path))}` | {meaning} |\n" for path, meaning in documented()
    )


def schema() -> str:
    """The schema of the values, its settings those of the program."""
    whole = json.loads(SCHEMA.read_text())
    sections: dict[str, Any] = {}
    for section, field in Settings.model_fields.items():
        model = field.annotation
        assert isinstance(model, type)
        assert issubclass(model, BaseModel)
        sections[section] = _object(_section(section, model))
    # A port that the probes can reach: 0 would turn them off.
    sections["telemetry"]["properties"]["port"]["minimum"] = 1024
    whole["properties"]["settings"] = _object(sections)
    return json.dumps(whole, indent=2, ensure_ascii=False) + "\n"


def _section(section: str, model: type[BaseModel]) -> dict[str, Any]:
    described = model.model_json_schema()["properties"]
    return {
        name: {key: value for key, value in described[name].items() if key in KEPT}
        for name, field in model.model_fields.items()
        if f"{section}.{name}" not in NO_VALUES and not _secret(section, name, field.annotation)
    }


def _secret(section: str, name: str, annotation: Any) -> bool:
    # The access key is no secret in itself, but it lies in the same Secret.
    return SecretStr in (annotation, *get_args(annotation)) or (section, name) == ("storage", "access_key_id")


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": False, "properties": properties}


def main() -> int:
    """Write both files, or with ``--check`` say which is not what it should be."""
    wrong = [path for path, made in ((README, readme()), (SCHEMA, schema())) if _differs(path, made)]
    if "--check" in sys.argv[1:]:
        sys.stderr.writelines(f"{path.relative_to(ROOT)} is out of date; run `make docs`\n" for path in wrong)
        return 1 if wrong else 0
    README.write_text(readme())
    SCHEMA.write_text(schema())
    return 0


def _differs(path: Path, made: str) -> bool:
    return not path.is_file() or path.read_text() != made


if __name__ == "__main__":
    sys.exit(main())
