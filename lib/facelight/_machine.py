"""What this process may use of the machine."""

from __future__ import annotations


def processors() -> int:
    """Cores that this process may use: not those that a batch system, a container or `taskset` keeps from it."""
    from joblib import cpu_count  # type: ignore[import-untyped]  # knows affinities and the quotas of containers

    return int(cpu_count())
