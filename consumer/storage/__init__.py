"""Object storage, local files, and the spool they are copied into."""
