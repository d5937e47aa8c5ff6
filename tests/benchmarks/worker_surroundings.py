"""A benchmark's process with the memory settings and the single thread of a decoder."""

import os
import sys

from adapters.sandbox import system


def enter(module: str) -> None:
    """Start this process anew with them, unless they are there: malloc reads them only then."""
    surroundings = system.DECODER_ENVIRONMENT | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    if not surroundings.items() <= os.environ.items():
        os.execve(sys.executable, [sys.executable, "-m", module, *sys.argv[1:]], os.environ | surroundings)
