"""Speech to words: the only package that knows torch and FunASR."""

import os

# Read once, when torch is first imported. Threads that wait for each other by spinning take the CPU from decoders and
# other programs: on a busy 2-core machine that made the models ten times slower. But those that sleep at once are woken
# for every small operation. So they spin for a moment, far shorter than the library would by itself.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("GOMP_SPINCOUNT", "10000")
