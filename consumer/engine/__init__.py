"""Speech to words: the only package that knows torch and FunASR."""
