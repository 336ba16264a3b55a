"""``tingxie demo``: the whole service in one process, with a broker, a bucket, models and recordings of its own."""
