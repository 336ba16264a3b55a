"""What the dashboard and the alerts ask, asked of a real Prometheus that scrapes a running service."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from consumer.demo.assets import SAMPLES
from tests.integration.harness import WORK_S
from tests.integration.world import open_world
from tests.servers import KafkaServer, ServerError
from tests.servers.prometheus import Prometheus, scrape

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

ROOT = Path(__file__).parents[2]
FILES = ROOT / "helm" / "tingxie" / "files"
DASHBOARD: dict[str, Any] = json.loads((FILES / "dashboard.json").read_text())
PANELS_S = 60.0
"""For the last scrape to come, and be drawn."""
NOT_HERE = {"GPU memory"}
"""The service under test runs on the CPU."""


def queries() -> dict[str, str]:
    """What every panel asks, by title and number."""
    values = {"$__rate_interval": "1m", "$job": "tingxie", "$instance": ".+"}
    found = {}
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", []):
            expression: str = target["expr"]
            for name, value in values.items():
                expression = expression.replace(name, value)
            if panel["title"] not in NOT_HERE:
                found[f"{panel['title']} {target['refId']}"] = expression
    return found


def filled(prometheus: Prometheus, expression: str) -> bool:
    """Whether there is a number to draw."""
    return any(series["value"][1] != "NaN" for series in prometheus.query(expression))


@pytest.mark.usefixtures("promtool")  # Prometheus comes with it
def test_no_panel_is_empty_and_every_alert_can_be_evaluated(
    kafka: KafkaServer,
    demo_models: Path,
    tmp_path: Path,
    s3: Callable[..., S3Client],
) -> None:
    alerts = {rule["alert"] for rule in yaml.safe_load((FILES / "alerts.yaml").read_text())["groups"][0]["rules"]}
    with (
        open_world(kafka, demo_models, tmp_path, s3) as world,
        world.service() as service,
        Prometheus(scrape(f"127.0.0.1:{service.port}", [FILES / "alerts.yaml"])) as prometheus,
    ):
        world.proxy.fail(times=1, match="GET */first.flac")
        world.dead_letter(*world.produce(b"no event"))
        # Rates are of what changes between two scrapes, so there have to be two.
        for key, count in (("first.flac", 1), ("second.flac", 2)):
            world.upload(key, (SAMPLES / "studio.flac").read_bytes())
            seen = f'tingxie_records_total{{outcome="completed"}} == {count}'
            prometheus.process.wait_until(lambda seen=seen: bool(prometheus.query(seen)), WORK_S)  # type: ignore[misc]
        asked = queries()
        assert len(asked) > 15
        still_empty = set(asked)

        def none_empty() -> bool:
            still_empty.difference_update([title for title in still_empty if filled(prometheus, asked[title])])
            return not still_empty

        try:
            prometheus.process.wait_until(none_empty, PANELS_S)
        except ServerError:
            pytest.fail(f"empty panels: {', '.join(sorted(still_empty))}")
        prometheus.process.wait_until(lambda: prometheus.alerts() == alerts, WORK_S)
        (busy,) = prometheus.query("tingxie_engine_busy_ratio")
        assert float(busy["value"][1]) > 0
        prometheus.process.wait_until(lambda: bool(prometheus.query("sum(tingxie_consumer_lag_records) == 0")), WORK_S)
