"""Faults of every kind against a running group of consumers, and a check that nothing was lost, repeated or reordered.

``make faults DURATION=600 SEED=1`` breaks brokers, network, storage, disk and consumers at random and prints one
table; ``python -m tests.faults --help`` has the rest. docs/guarantees.md says what the rows of the table mean.
"""
