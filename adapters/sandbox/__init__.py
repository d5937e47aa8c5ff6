"""The calls of the operating system that we run on, as `system`: Linux with its sandbox, or what all others can do."""

import sys

if sys.platform == "linux":
    from adapters.sandbox import linux as system
else:
    from adapters.sandbox import portable as system

__all__ = ["system"]
