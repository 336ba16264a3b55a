"""Real servers for tests: Apache Kafka, a bucket that emits events, and proxies that inject faults before both.

``python -m tests.servers`` installs what has to be installed; the fixtures of the test session start the servers.
"""

from __future__ import annotations

from tests.servers.cache import ServerError
from tests.servers.faults import FaultProxy
from tests.servers.kafka import KafkaServer
from tests.servers.versitygw import VersityGateway

__all__ = ["FaultProxy", "KafkaServer", "ServerError", "VersityGateway"]
