"""UM-MAE's PVT on the compact grid: only the sampled patches are embedded and attended."""

from collections.abc import Sequence

import torch

from mim_bench.models.backbones.ummae_compact import CompactPretraining
from mim_bench.models.backbones.ummae_pvt import UMMAEPvt
from mim_bench.registry import MODELS


@MODELS.register_module()
class UMMAEPretrainPvt(CompactPretraining, UMMAEPvt):
    """:class:`UMMAEPvt` that encodes the visible quarter of an image as one dense map.

    Args:
        arch: Of :class:`UMMAEPvt`.
        compact_sr_ratios: Ratio of the pooling of each stage on the compact map; None halves
            ``sr_ratios`` (8, 4, 2, 1 to 4, 2, 1, 1), which leaves the number of keys as it is.
        **kwargs: Of :class:`CompactPretraining` and :class:`UMMAEPvt`; the table of positions
            is fixed by default.

    Source: UM-MAE, arXiv:2205.10063, official ``mae_pvt``.
    """

    def __init__(
        self,
        arch: str | dict = 'small',
        *,
        compact_sr_ratios: Sequence[int] | None = None,
        **kwargs: object,
    ) -> None:
        kwargs.setdefault('learnable_positions', False)
        super().__init__(arch, **kwargs)
        halves = (max(ratio // 2, 1) for ratio in self.sr_ratios)
        self.compact_sr_ratios = tuple(compact_sr_ratios or halves)

    def stage_context(self, stage: int, x: torch.Tensor, places: torch.Tensor | None) -> int:
        """The ratio of the pooling, on the full or on the compact map."""
        if places is None:
            return super().stage_context(stage, x, places)
        return self.compact_sr_ratios[stage]
