"""Energy of the GPUs of a run, from NVIDIA's counters.

A counter covers the whole device, whoever uses it: all its energy is charged to the
run that holds it. GPUs older than Volta, MIG slices and other makers' devices have none.
"""

from collections.abc import Sequence
from typing import Any

import torch


class EnergyMeter:
    """Sum of the energy counters of several GPUs.

    Args:
        nvml: The module ``pynvml``, initialised.
        uuids: UUIDs of the GPUs as NVML writes them, ``GPU-...``.

    Raises:
        nvml.NVMLError: There is no such GPU, or it has no counter.
    """

    def __init__(self, nvml: Any, uuids: Sequence[str]) -> None:
        self._nvml = nvml
        self._handles = [nvml.nvmlDeviceGetHandleByUUID(uuid) for uuid in uuids]
        self._read()

    def joules(self) -> float | None:
        """Energy of all GPUs since the driver was loaded; None if a counter cannot be read."""
        try:
            return self._read()
        except self._nvml.NVMLError:
            return None

    def _read(self) -> float:
        read = self._nvml.nvmlDeviceGetTotalEnergyConsumption  # in millijoules
        return sum(read(handle) for handle in self._handles) / 1000


def energy_meter(uuids: Sequence[str]) -> EnergyMeter | None:
    """Make the meter of some GPUs.

    Args:
        uuids: At least one, without repetition.

    Returns:
        None without the package ``nvidia-ml-py`` (the extra ``[energy]``), without NVML, or if
        a GPU has no counter.
    """
    try:
        import pynvml
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
        return EnergyMeter(pynvml, uuids)
    except pynvml.NVMLError:
        return None


def device_uuid(device: torch.device) -> str | None:
    """The UUID of a GPU as NVML writes it; None if this torch does not provide it."""
    uuid = getattr(torch.cuda.get_device_properties(device), 'uuid', None)
    return None if uuid is None else f'GPU-{uuid}'
