"""One node of Apache Kafka (KRaft), from the jars Maven holds."""

from __future__ import annotations

import shutil
import subprocess
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Mapping, Sequence
from pathlib import Path

from confluent_kafka import KafkaException

from tests.servers.admin import REQUEST_S, Administered
from tests.servers.cache import ServerError, install_once, run_installer
from tests.servers.process import Server, ServerProcess, free_ports

VERSION = "4.4.0"
NAME = f"kafka-{VERSION}"

# kafka-tools-api is named by Kafka's own pom but was never published.
POM = f"""<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>tingxie.tests</groupId><artifactId>broker</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>{VERSION}</version>
      <exclusions>
        <exclusion><groupId>org.apache.kafka</groupId><artifactId>kafka-tools-api</artifactId></exclusion>
      </exclusions>
    </dependency>
    <dependency>
      <groupId>org.apache.logging.log4j</groupId><artifactId>log4j-slf4j-impl</artifactId><version>2.25.5</version>
    </dependency>
  </dependencies>
</project>
"""
COPY_JARS = [
    *("mvn", "-q", "-B", "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"),
    *("-DoutputDirectory=libs", "-DincludeScope=runtime"),
]
LOGGING = """rootLogger.level = WARN
rootLogger.appenderRef.console.ref = console
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{ISO8601} %p %m (%c)%n
"""
START_S = 120.0  # 7 to 14 s on two idle cores; a loaded machine takes several times as long


def install() -> Path:
    """The folder with Kafka's jars, fetched through Maven when absent (about 30 s, 43 MB).

    Raises:
        ServerError: Maven or Java is missing, or Maven failed.
    """
    if shutil.which("java") is None:
        raise ServerError(
            f"{NAME} cannot run: the program 'java' (17 or later) is not on the PATH; "
            "`make servers` installs it, or names the package"
        )

    def build(folder: Path) -> None:
        (folder / "pom.xml").write_text(POM)
        run_installer(NAME, COPY_JARS, cwd=folder, timeout_s=900)

    return install_once(NAME, build)


def new_cluster_id() -> str:
    """An id to format the storage of all nodes of one cluster with."""
    return urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")


class KafkaServer(Server, Administered):
    """One broker and controller in one process, on free loopback ports, with its data in a temporary folder.

    Topics are never created by use.

    Args:
        properties: broker properties that replace or extend those a single node needs.
    """

    def __init__(self, properties: Mapping[str, str] | None = None) -> None:
        super().__init__(NAME, "tingxie-kafka-")
        self._properties = dict(properties or {})
        self._cluster_id = new_cluster_id()
        self._port = 0

    @property
    def bootstrap_servers(self) -> str:
        return f"127.0.0.1:{self._port}"

    def start(self) -> None:
        """Start the broker and return when it answers an admin request.

        Raises:
            ServerError: it did not come up; the message ends with its log.
        """
        self.launch()
        self.process.wait_until(self._answers, START_S)

    def launch(self) -> None:
        """Start the broker without waiting for it.

        Raises:
            ServerError: its storage could not be formatted.
        """
        jars = install() / "libs"
        if self._port == 0:
            self._configure(jars)
        java = ["java", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", f"{jars}/*"]
        java.append(f"-Dlog4j2.configurationFile={self._folder / 'log4j2.properties'}")
        command = [*java, "kafka.Kafka", str(self._folder / "server.properties")]
        self._process = ServerProcess(self.name, command, self._log)

    def close(self) -> None:
        """Stop it for good and remove its data."""
        super().close()
        self._admin = None  # or its client would look for the broker for as long as the session lasts

    def _completed(self, single_node: Mapping[str, str]) -> Mapping[str, str]:
        """The properties of this node, from those a single node needs."""
        return {**single_node, **self._properties}

    def _choose_ports(self) -> list[int]:
        """Ports of the broker and of the controller."""
        return free_ports(2)

    def _format_options(self) -> Sequence[str]:
        """What the storage is formatted with beside the properties."""
        return ()

    def _configure(self, jars: Path) -> None:
        self._port, controller = self._choose_ports()
        (self._folder / "log4j2.properties").write_text(LOGGING)
        settings = self._folder / "server.properties"
        properties = self._completed(_single_node(self._port, controller, self._folder / "data"))
        settings.write_text("".join(f"{name}={value}\n" for name, value in properties.items()))
        format_log = ["java", "-cp", f"{jars}/*", f"-Dlog4j2.configurationFile={self._folder / 'log4j2.properties'}"]
        format_log += [
            "kafka.tools.StorageTool",
            "format",
            f"--cluster-id={self._cluster_id}",
            "-c",
            str(settings),
            *self._format_options(),
        ]  # it may begin with a dash
        with self._log.open("ab") as sink:
            done = subprocess.run(format_log, stdout=sink, stderr=sink, timeout=START_S, check=False)
        if done.returncode != 0:
            raise ServerError(f"{self.name} could not format its storage:\n{self.log_tail()}")

    def _answers(self) -> bool:
        try:
            self.admin.list_topics(timeout=1.0)
        except KafkaException:
            return False
        return True

    def _wait_for_leaders(self, topics: Sequence[str], partitions: int) -> None:
        self.process.wait_until(lambda: all(self._has_leaders(topic, partitions) for topic in topics), REQUEST_S)

    def _has_leaders(self, topic: str, partitions: int) -> bool:
        known = self.admin.list_topics(topic, timeout=REQUEST_S).topics[topic].partitions
        return len(known) == partitions and all(one.leader >= 0 for one in known.values())


def _single_node(port: int, controller: int, data: Path) -> dict[str, str]:
    """Properties of a node that is broker and controller, with groups that form at once."""
    return {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@127.0.0.1:{controller}",
        "controller.listener.names": "CONTROLLER",
        "listeners": f"PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{port}",
        "log.dirs": str(data),
        "auto.create.topics.enable": "false",
        "offsets.topic.num.partitions": "4",
        "offsets.topic.replication.factor": "1",
        "transaction.state.log.num.partitions": "4",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "share.coordinator.state.topic.replication.factor": "1",
        "share.coordinator.state.topic.min.isr": "1",
        "group.initial.rebalance.delay.ms": "0",
        # A member that was killed is missed after seconds, where the defaults wait for most of a minute.
        "group.min.session.timeout.ms": "1000",
        "group.consumer.session.timeout.ms": "10000",
        "group.consumer.min.session.timeout.ms": "2000",
        "group.consumer.heartbeat.interval.ms": "500",
        "group.consumer.min.heartbeat.interval.ms": "500",
    }
