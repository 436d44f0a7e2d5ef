"""Connection to a Ray cluster, or to one on this machine only."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from typing import Any

from vision.errors import DactylError
from vision.machine.extras import optional

# Ray reads these at import: no usage reports, and enough time to start on a busy machine.
RAY_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_agent_register_timeout_ms": "180000",
    "RAY_raylet_start_wait_time_s": "180",
    "RAY_worker_register_timeout_seconds": "180",
}

LOOPBACK_ONLY = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
"""Ray's variable that, set to 0, keeps it on the loopback interface; named after the systems where that is the default.
"""


@contextlib.contextmanager
def connected(address: str | None, workers: int) -> Iterator[Any]:
    """Yield Ray's module, connected to the cluster at ``address``, or to one on this machine only.

    Raises:
        DactylError: Ray is not installed, or there is no cluster.
    """
    for name, value in RAY_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    if address is None or address.startswith("127.0.0.1:"):
        # Otherwise Ray replaces the loopback address by the machine's network address, and listens there.
        os.environ[LOOPBACK_ONLY] = "0"
    with optional("ray", "executor ray"):
        import ray
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    if address is None:
        options |= {"address": "local", "num_cpus": workers, "include_dashboard": False}
        options |= {"_node_ip_address": "127.0.0.1"}
    else:
        options["address"] = address
    try:
        with _own_signals():
            ray.init(**options)
    except Exception as error:  # Ray also raises bare exceptions
        reason = " ".join(str(error).split())
        raise DactylError(
            f"no Ray cluster at {address or 'this machine'} ({reason[:300]}); ray start --head starts one"
        ) from None
    try:
        yield ray
    finally:
        ray.shutdown()


@contextlib.contextmanager
def _own_signals() -> Iterator[None]:
    """Restore our SIGTERM handler, which says how to resume; Ray's would exit with status 1."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, handler)
