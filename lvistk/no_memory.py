"""Memory that runs out: what to change, told in one line even where C++ code ends the process for it."""

import os
from typing import Any

GO_ON = "run again to go on from the last checkpoint or shard"
_kept: list[Any] = []
"""Handlers that C++ calls; Python must not free them."""


def mend(where: str) -> str:
    """What to change where no memory is left on the ``device`` or the ``host``."""
    return (
        f"no memory left on the {where}: in training raise loop.accumulate or lower augment.short_edges "
        "(with --resume-with-changes), or lower loader.workers; at inference lower predict.batch_size, "
        "predict.workers or predict.feature_memory_mb"
    )


def tell_of_bad_alloc() -> None:
    """From now on, ``std::bad_alloc`` that no C++ code catches is one line and exit code 2.

    Without this the C++ runtime aborts: lines of its own, and exit code 134. Other exceptions still end so,
    and with another C++ runtime than GNU's nothing changes.
    """
    import ctypes  # 5 ms that commands without a model do not need

    if _kept:
        return
    handler = ctypes.CFUNCTYPE(None)
    try:
        runtime = ctypes.CDLL("libstdc++.so.6")
        set_terminate = runtime["_ZSt13set_terminatePFvvE"]
        type_now = runtime["__cxa_current_exception_type"]
        bad_alloc = ctypes.addressof(ctypes.c_byte.in_dll(runtime, "_ZTISt9bad_alloc"))
    except (OSError, AttributeError, ValueError):
        return
    type_now.restype = ctypes.c_void_p
    set_terminate.restype, set_terminate.argtypes = ctypes.c_void_p, [handler]

    def end() -> None:
        if type_now() == bad_alloc:
            os.write(2, f"error: {mend('host')}; {GO_ON}\n".encode())
            os._exit(2)
        before()

    _kept.append(handler(end))
    before = handler(set_terminate(_kept[0]) or 0)
