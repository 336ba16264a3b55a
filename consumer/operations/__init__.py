"""What people who run this need to see: logs, metrics, health."""
