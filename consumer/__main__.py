"""``python -m consumer`` is the command ``tingxie``."""

from consumer.cli import main

main()
