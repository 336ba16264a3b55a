"""What all tests share: the real servers, names nobody else uses, the models and recordings.

A test asks for a server by a fixture, which installs and starts it. When that is impossible the test fails and says
which server is missing: an integration test never passes or is skipped for want of one.
"""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest
from hypothesis import HealthCheck, settings

from tests.servers import (
    FaultProxy,
    KafkaServer,
    ServerError,
    VersityGateway,
    collector,
    compose,
    helm,
    prometheus,
    toxiproxy,
    versitygw,
)
from tests.servers import kafka as kafka_server
from tests.servers.cache import failure_of
from tests.servers.collector import Collector
from tests.servers.settings import engine_settings, kafka_settings, storage_settings
from tests.servers.toxiproxy import Toxiproxy

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

ROOT = Path(__file__).parents[1]

# Time limits of single examples would fail on a machine that is busy with something else.
settings.register_profile("local", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", parent=settings.get_profile("local"), print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "local")

# Fixture to what installs its program.
INSTALLERS = {
    "kafka": kafka_server.install,
    "bucket_server": versitygw.install,
    "compose_loader": compose.install,
    "helm_program": helm.install,
    "promtool": prometheus.install,
    "stage": toxiproxy.install,
    "otel_collector": collector.install,
    "tcp_proxy": toxiproxy.install,
}
NOT_INSTALLED = pytest.StashKey[dict[str, str]]()


@dataclass(frozen=True, slots=True)
class Kind:
    """What the tests of a folder are: their mark, and how long one may take; None: as long as any other."""

    mark: pytest.MarkDecorator
    timeout_s: float | None = None


TESTS = Path(__file__).parent
KINDS = {
    TESTS / "chart": Kind(pytest.mark.integration),  # helm and promtool have to be installed
    # The first test waits for three nodes and three consumers that load models; a busy machine needs minutes for that.
    TESTS / "faults": Kind(pytest.mark.integration, timeout_s=900),
    # Each starts processes that load models; on a busy machine that alone takes minutes.
    TESTS / "integration": Kind(pytest.mark.integration, timeout_s=600),
    TESTS / "model": Kind(pytest.mark.model, timeout_s=600),
}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of a folder, so that for example ``-m "not integration"`` leaves all of them out."""
    for item in items:
        for kind in (KINDS[folder] for folder in item.path.parents if folder in KINDS):
            item.add_marker(kind.mark)
            if kind.timeout_s is not None:
                item.add_marker(pytest.mark.timeout(kind.timeout_s))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Install the servers of the chosen tests now: this may take minutes, and no test's time limit runs yet."""
    wanted = any(item.get_closest_marker("integration") for item in session.items)
    session.config.stash[NOT_INSTALLED] = (
        {fixture: failure for fixture, install in INSTALLERS.items() if (failure := failure_of(install))}
        if wanted and not session.config.option.collectonly
        else {}
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Turn the skip of an integration test into a failure, unless it wants recordings this checkout does not have."""
    report = cast("pytest.TestReport", (yield))
    bound_to_run = item.get_closest_marker("integration") and "real_data" not in getattr(item, "fixturenames", ())
    if bound_to_run and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"an integration test must not be skipped: {report.longrepr}"
    return report  # type: ignore[return-value]  # what a wrapper returns is the hook's result


def _require(fixture: str, config: pytest.Config) -> None:
    if failure := config.stash[NOT_INSTALLED].get(fixture):
        pytest.fail(failure, pytrace=False)


@contextmanager
def server_errors_fail() -> Iterator[None]:
    """What a server says when it does not come up is all that the report shows."""
    try:
        yield
    except ServerError as error:
        pytest.fail(str(error), pytrace=False)


@pytest.fixture(scope="session")
def kafka(pytestconfig: pytest.Config) -> Iterator[KafkaServer]:
    """A real broker for the session. It creates no topic by itself: take `topics`, or create your own."""
    _require("kafka", pytestconfig)
    with server_errors_fail(), KafkaServer() as server:
        yield server


@dataclass(frozen=True, slots=True)
class Topics:
    """The topics of one test, empty at its start."""

    uploads: str
    transcripts: str
    dead_letters: str


@pytest.fixture
def unique_name(request: pytest.FixtureRequest) -> Callable[[str], str]:
    """Make names nobody else uses, fit for topics, groups and buckets: ``unique_name("calls")``."""
    test = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower())[:24].strip("-")

    def make(purpose: str) -> str:
        return f"{purpose}-{test}-{uuid.uuid4().hex[:8]}"

    return make


@pytest.fixture
def topics(kafka: KafkaServer, unique_name: Callable[[str], str]) -> Topics:
    """Topics for uploads (4 partitions), transcripts and dead letters, created for this test."""
    made = Topics(unique_name("audio-uploaded"), unique_name("transcript-ready"), unique_name("dead-letter"))
    kafka.create_topics(made.uploads, partitions=4)
    kafka.create_topics(made.transcripts)
    # Room for what the upload topic takes by default, and headers.
    kafka.create_topics(made.dead_letters, config={"max.message.bytes": str(1_048_588 + 65_536)})
    return made


@pytest.fixture
def group_id(unique_name: Callable[[str], str]) -> str:
    """Name of a consumer group without history."""
    return unique_name("group")


@pytest.fixture
def bucket_server(kafka: KafkaServer, topics: Topics, pytestconfig: pytest.Config) -> Iterator[VersityGateway]:
    """An empty bucket server for this test, whose events go to ``topics.uploads``; it starts within half a second."""
    _require("bucket_server", pytestconfig)
    with server_errors_fail(), VersityGateway(kafka.bootstrap_servers, topics.uploads) as server:
        yield server


@pytest.fixture
def fault_proxy(bucket_server: VersityGateway) -> Iterator[FaultProxy]:
    """A proxy before ``bucket_server`` that fails, stalls or cuts answers when it is told to."""
    with FaultProxy(bucket_server.endpoint_url) as proxy:
        yield proxy


@pytest.fixture(scope="session")
def s3() -> Iterator[Callable[..., S3Client]]:
    """Make S3 clients, ``s3(endpoint_url, read_timeout_s=…)``. They do not retry, so that a test sees each answer."""
    clients: list[S3Client] = []

    def make(endpoint_url: str, read_timeout_s: float = 20.0) -> S3Client:
        client = VersityGateway.client(
            endpoint_url, retries={"total_max_attempts": 1}, connect_timeout=5, read_timeout=read_timeout_s
        )
        clients.append(client)
        return client

    yield make
    for client in clients:
        client.close()


@pytest.fixture
def bucket(bucket_server: VersityGateway, s3: Callable[..., S3Client], unique_name: Callable[[str], str]) -> str:
    """Name of an empty bucket on ``bucket_server``."""
    name = unique_name("audio")
    s3(bucket_server.endpoint_url).create_bucket(Bucket=name)
    return name


@pytest.fixture(scope="session")
def compose_loader(pytestconfig: pytest.Config) -> Path:
    """The program that reads compose files as ``docker compose`` does, which needs no container engine."""
    _require("compose_loader", pytestconfig)
    return compose.install()


@pytest.fixture(scope="session")
def helm_program(pytestconfig: pytest.Config) -> Path:
    """The program that renders charts; it needs no cluster."""
    _require("helm_program", pytestconfig)
    return helm.install()


@pytest.fixture(scope="session")
def promtool(pytestconfig: pytest.Config) -> Path:
    """The program that checks and tests Prometheus' rules."""
    _require("promtool", pytestconfig)
    return prometheus.install()


@pytest.fixture(scope="session")
def otel_collector(pytestconfig: pytest.Config) -> Iterator[Collector]:
    """A collector of traces for the session."""
    _require("otel_collector", pytestconfig)
    with server_errors_fail(), Collector() as running:
        yield running


@pytest.fixture
def tcp_proxy(pytestconfig: pytest.Config) -> Iterator[Toxiproxy]:
    """A server of TCP proxies, without one."""
    _require("tcp_proxy", pytestconfig)
    with server_errors_fail(), Toxiproxy() as running:
        yield running


@pytest.fixture(scope="session")
def demo_models() -> Path:
    """The models shipped with the package: folders paraformer, fsmn-vad and ct-transformer."""
    models = ROOT / "consumer" / "demo" / "models"
    missing = [name for name in ("paraformer", "fsmn-vad", "ct-transformer") if not (models / name).is_dir()]
    if missing:
        pytest.fail(f"the shipped models {', '.join(missing)} are not in {models}", pytrace=False)
    return models


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Recordings and model weights that cannot be shipped, from ``$TINGXIE_REAL_DATA``."""
    folder = Path(os.environ.get("TINGXIE_REAL_DATA", ROOT.parent / "shared" / "real"))
    if not folder.is_dir():
        pytest.skip(f"no folder {folder}; set TINGXIE_REAL_DATA to one with recordings")
    return folder


@pytest.fixture
def service_environment(
    kafka: KafkaServer,
    topics: Topics,
    group_id: str,
    bucket_server: VersityGateway,
    demo_models: Path,
    tmp_path: Path,
) -> dict[str, str]:
    """Settings of a service on this test's broker, topics, bucket server and the shipped models, as environment."""
    return {
        **kafka_settings(kafka.bootstrap_servers, topics),
        **storage_settings(bucket_server.endpoint_url),
        **engine_settings(demo_models),
        "TINGXIE_KAFKA__GROUP_ID": group_id,
        "TINGXIE_RETRY__DELAYS": "",
        "TINGXIE_LIMITS__SPOOL_DIR": str(tmp_path / "spool"),
        "TINGXIE_TELEMETRY__PORT": "0",
    }
