from __future__ import annotations

import pytest

from consumer.redaction import redacted


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (
            "b/https://s3/a.wav?X-Amz-Signature=hunter2&X-Amz-Date=1",
            "b/https://s3/a.wav?X-Amz-Signature=**********&X-Amz-Date=1",
        ),
        ("a?Expires=1&Signature=hunter2%3D&x=1", "a?Expires=1&Signature=**********&x=1"),
        ("AWSAccessKeyId=hunter2&Signature=hunter2", "AWSAccessKeyId=**********&Signature=**********"),
        ('{"key":"a?X-Oss-Security-Token=hunter2","b":1}', '{"key":"a?X-Oss-Security-Token=**********","b":1}'),
        ("redirect?to=X-Amz-Signature%3Dhunter2", "redirect?to=X-Amz-Signature%3D**********"),
        ("https://account.blob/x?sv=1&sig=hunter2", "https://account.blob/x?sv=1&sig=**********"),
        ("proxy http://me:hunter2&hunter2@host:80/", "proxy http://me:**********@host:80/"),
    ],
)
def test_secrets_are_masked(text: str, shown: str) -> None:
    assert redacted(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "sasl_ssl://127.0.0.1:9093/bootstrap: Connect to ipv4#127.0.0.1:9093 failed",
        "http://storage:9000/audio-in/mail@example.com.wav",
        "audio-in/Signature tune.wav",
        "audio-in/design=2.wav",
        "产品/签名=一.wav",
    ],
)
def test_all_else_stays(text: str) -> None:
    assert redacted(text) == text
