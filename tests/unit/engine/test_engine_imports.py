from __future__ import annotations

import subprocess
import sys


def test_importing_the_engine_loads_no_model_library() -> None:
    script = (
        "import sys, consumer.engine.api, consumer.engine.engine; "
        "print([name for name in ('torch', 'funasr', 'modelscope', 'kaldi_native_fbank') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
