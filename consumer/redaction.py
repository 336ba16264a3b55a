"""Text without the secrets that strangers put into it: signatures of presigned URLs, passwords in URLs.

What this program is told in its settings it does not write in the first place. An event, though, may name anything as
its key, and a storage may answer anything.
"""

from __future__ import annotations

import re

MASK = "**********"

_SIGNATURE = re.compile(
    r"\b(X-(?:Amz|Oss|Goog)-(?:Signature|Credential|Security-Token)|Signature|(?:AWS|OSS)AccessKeyId|Security-Token|sig)"
    r"(=|%3D)"  # a URL inside a URL is encoded
    r"[\w%+/=.~-]+",
    re.IGNORECASE,
)
_PASSWORD = re.compile(r"(://[^\s/:@\"'<>]*:)[^\s/@\"'<>]+@")


def redacted(text: str) -> str:
    """The text with a mask in place of each secret that is recognised by what stands before it."""
    return _PASSWORD.sub(rf"\1{MASK}@", _SIGNATURE.sub(rf"\1\2{MASK}", text))
