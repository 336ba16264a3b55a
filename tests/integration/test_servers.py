"""The servers under the other integration tests do what those rely on."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError, ReadTimeoutError, ResponseStreamingError
from confluent_kafka import Consumer, Producer

from tests.servers import FaultProxy, KafkaServer, VersityGateway

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

    from tests.conftest import Topics

S3Factory = Callable[..., "S3Client"]
BODY = bytes(range(256)) * 1024
EVENT_S = 30.0


def upload_events(kafka: KafkaServer, topic: str, group_id: str) -> Iterator[dict[str, Any]]:
    """Upload events of a topic from its beginning on; ends when none comes for a while."""
    consumer = Consumer(
        {"bootstrap.servers": kafka.bootstrap_servers, "group.id": group_id, "auto.offset.reset": "earliest"}
    )
    try:
        consumer.subscribe([topic])
        deadline = time.monotonic() + EVENT_S
        while time.monotonic() < deadline:
            message = consumer.poll(0.5)
            if message is not None:
                assert message.error() is None
                event = json.loads(message.value() or b"")
                if "Records" in event:  # the gateway greets the topic with an event of its own
                    yield event
                    deadline = time.monotonic() + EVENT_S
    finally:
        consumer.close()


@pytest.mark.parametrize("key", ["call.wav", "日本 lecture/a b+c&é 100%.wav"])
def test_upload_arrives_as_event(
    key: str,
    kafka: KafkaServer,
    topics: Topics,
    group_id: str,
    bucket_server: VersityGateway,
    bucket: str,
    s3: S3Factory,
) -> None:
    s3(bucket_server.endpoint_url).put_object(Bucket=bucket, Key=key, Body=BODY)

    event = next(upload_events(kafka, topics.uploads, group_id))

    (record,) = event["Records"]
    assert record["eventName"] == "s3:ObjectCreated:Put"
    assert record["s3"]["bucket"]["name"] == bucket
    assert record["s3"]["object"]["key"] == key
    assert record["s3"]["object"]["size"] == len(BODY)


def test_tests_do_not_see_each_others_uploads(
    kafka: KafkaServer, topics: Topics, bucket_server: VersityGateway, bucket: str, s3: S3Factory, group_id: str
) -> None:
    kafka.create_topics(other_topic := f"{topics.uploads}-other")
    with VersityGateway(kafka.bootstrap_servers, other_topic) as other:
        s3(other.endpoint_url).create_bucket(Bucket=bucket)
        s3(other.endpoint_url).put_object(Bucket=bucket, Key="theirs.wav", Body=BODY)
        assert next(upload_events(kafka, other_topic, group_id))["Records"]
    s3(bucket_server.endpoint_url).put_object(Bucket=bucket, Key="ours.wav", Body=BODY)

    (record,) = next(upload_events(kafka, topics.uploads, f"{group_id}-ours"))["Records"]

    assert record["s3"]["object"]["key"] == "ours.wav"
    listed = s3(bucket_server.endpoint_url).list_objects_v2(Bucket=bucket)["Contents"]
    assert [one["Key"] for one in listed] == ["ours.wav"]


def test_gateway_keeps_objects_over_a_restart(bucket_server: VersityGateway, bucket: str, s3: S3Factory) -> None:
    s3(bucket_server.endpoint_url).put_object(Bucket=bucket, Key="call.wav", Body=BODY)
    bucket_server.stop()
    bucket_server.start()

    assert s3(bucket_server.endpoint_url).get_object(Bucket=bucket, Key="call.wav")["Body"].read() == BODY


def test_broker_keeps_records_over_a_restart(topics: Topics) -> None:
    with KafkaServer() as server:
        server.create_topics(topics.uploads)
        producer = Producer({"bootstrap.servers": server.bootstrap_servers, "acks": "all"})
        producer.produce(topics.uploads, b'{"Records": []}')
        assert producer.flush(EVENT_S) == 0
        del producer
        server.stop()
        server.start()

        assert next(upload_events(server, topics.uploads, "after-restart")) == {"Records": []}


def test_broker_creates_no_topic_by_use(kafka: KafkaServer, unique_name: Callable[[str], str]) -> None:
    refused: list[Any] = []
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers, "message.timeout.ms": 5000})
    producer.produce(unique_name("unknown"), b"x", on_delivery=lambda error, _: refused.append(error))
    producer.flush(EVENT_S)

    assert refused
    assert refused[0] is not None


def test_proxy_forwards_what_is_signed(fault_proxy: FaultProxy, bucket: str, s3: S3Factory) -> None:
    client = s3(fault_proxy.endpoint_url)
    key = "日本/a b+c&é 100%.wav"

    client.put_object(Bucket=bucket, Key=key, Body=BODY, Metadata={"speaker": "a"})
    part = client.get_object(Bucket=bucket, Key=key, Range="bytes=10-19")
    head = client.head_object(Bucket=bucket, Key=key)

    assert client.get_object(Bucket=bucket, Key=key)["Body"].read() == BODY
    assert part["Body"].read() == BODY[10:20]
    assert head["ContentLength"] == len(BODY)
    assert head["Metadata"] == {"speaker": "a"}
    assert [one["Key"] for one in client.list_objects_v2(Bucket=bucket)["Contents"]] == [key]
    client.delete_object(Bucket=bucket, Key=key)
    with pytest.raises(client.exceptions.NoSuchKey):
        client.get_object(Bucket=bucket, Key=key)
    assert {one.path for one in fault_proxy.exchanges} == {f"/{bucket}", f"/{bucket}/{key}"}


def test_proxy_fails_twice_then_works(fault_proxy: FaultProxy, bucket: str, s3: S3Factory) -> None:
    client = s3(fault_proxy.endpoint_url)
    client.put_object(Bucket=bucket, Key="call.wav", Body=BODY)
    fault_proxy.fail(times=2, status=503, match="GET */call.wav")

    for _ in range(2):
        with pytest.raises(ClientError, match="SlowDown") as caught:
            client.get_object(Bucket=bucket, Key="call.wav")
        assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 503
        client.head_object(Bucket=bucket, Key="call.wav")
    assert client.get_object(Bucket=bucket, Key="call.wav")["Body"].read() == BODY
    assert [one.fault for one in fault_proxy.exchanges if one.method == "GET"] == ["fail", "fail", None]


def test_proxy_fails_an_upload_and_stores_nothing(fault_proxy: FaultProxy, bucket: str, s3: S3Factory) -> None:
    client = s3(fault_proxy.endpoint_url)
    fault_proxy.fail(status=500, match="PUT *")

    with pytest.raises(ClientError, match="InternalError"):
        client.put_object(Bucket=bucket, Key="call.wav", Body=BODY)
    assert client.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


def test_proxy_cuts_a_body(fault_proxy: FaultProxy, bucket: str, s3: S3Factory) -> None:
    client = s3(fault_proxy.endpoint_url)
    client.put_object(Bucket=bucket, Key="call.wav", Body=BODY)
    fault_proxy.cut(after=1000, match="GET *")

    body = client.get_object(Bucket=bucket, Key="call.wav")["Body"]
    assert body.read(1000) == BODY[:1000]
    with pytest.raises((ResponseStreamingError, ConnectionClosedError)):
        body.read()
    assert client.get_object(Bucket=bucket, Key="call.wav")["Body"].read() == BODY


@pytest.mark.parametrize("after", [0, 1000])
def test_proxy_stalls_until_released(after: int, fault_proxy: FaultProxy, bucket: str, s3: S3Factory) -> None:
    client = s3(fault_proxy.endpoint_url)
    client.put_object(Bucket=bucket, Key="call.wav", Body=BODY)
    impatient = s3(fault_proxy.endpoint_url, read_timeout_s=1.0)
    fault_proxy.stall(after=after, match="GET *")

    with pytest.raises(ReadTimeoutError):
        impatient.get_object(Bucket=bucket, Key="call.wav")["Body"].read()
    fault_proxy.release()
    assert client.get_object(Bucket=bucket, Key="call.wav")["Body"].read() == BODY
