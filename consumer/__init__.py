"""tingxie (听写, "dictation"): a Kafka consumer group that turns recordings in object storage into transcripts."""

from importlib.metadata import version

__version__ = version("tingxie")
