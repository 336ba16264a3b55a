"""How fast the engine and the service are, each beside what it is measured against, in the same run.

``python -m benchmarks.NAME`` runs one and prints a line of JSON on standard output; what happens meanwhile goes to
standard error. docs/performance.md tells what each compares. The modules:

- ``engine``, ``service``, ``front``, ``fairness``, ``memory``, ``events``, ``gpu``: the benchmarks;
- ``models``: full-size models with random weights, made once; ``calibration``: how they come to act like trained ones;
- ``audio``: recordings of any length, made of the demo's samples;
- ``references``: FunASR's own pipeline, and the recogniser's bare forward pass;
- ``ours``: the engine, driven like a function; ``inside``: the only module that knows what is inside of it;
- ``servers``: broker and bucket; ``counted``: the service until so many recordings are done; ``noop``: an empty one;
- ``rounds``, ``report``, ``options``: medians, the line of JSON, the command line.
"""
