"""The cores that a process may use; needs no torch."""

import math
import os
from pathlib import Path

CGROUP = Path('/sys/fs/cgroup')


def usable_cores() -> int:
    """Cores that this process may use: by its affinity, and by the quota of its container."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()
    quota = _quota()
    return max(1, min(cores or 1, math.floor(quota) if quota else cores or 1))


def _quota() -> float | None:
    """Cores of the control group, of version 2 or 1; None without a limit."""
    try:
        quota, period = (CGROUP / 'cpu.max').read_text().split()
    except (OSError, ValueError):
        try:
            quota = (CGROUP / 'cpu/cpu.cfs_quota_us').read_text().strip()
            period = (CGROUP / 'cpu/cpu.cfs_period_us').read_text().strip()
        except OSError:
            return None
    return float(quota) / float(period) if quota not in ('max', '-1') else None
