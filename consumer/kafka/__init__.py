"""Kafka: offsets and lanes (pure), and the only modules that touch confluent_kafka."""
