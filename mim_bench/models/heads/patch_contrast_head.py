"""InfoNCE between the patches of an image: every query patch finds its own place."""

import torch
from mmengine.model import BaseModule
from torch.nn import functional as F

from mim_bench.registry import MODELS


@MODELS.register_module()
class PatchContrastHead(BaseModule):
    """Tell the key of a patch from the keys of all patches of the same image.

    Args:
        temperature: tau.
        init_cfg: Initialisation of mmengine.

    Source: ConMIM, arXiv:2205.09616, TencentARC/ConMIM@4263955. Differs: the logits are float32
    under mixed precision too.
    """

    level = 'patch'

    def __init__(self, temperature: float = 0.1, init_cfg: dict | list | None = None) -> None:
        super().__init__(init_cfg)
        self.temperature = temperature

    def loss(self, query: torch.Tensor, key: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
        """Compare.

        Args:
            query: (B, n, D), projected patches; get gradients.
            key: (B, L, D), all patches of the same images in raster order, projected by the
                momentum network.
            index: (B, n) int64, the places of the queries among the keys.

        Returns:
            A scalar float32: the mean of CE(cosines / tau) over all queries.
        """
        with torch.autocast(query.device.type, enabled=False):
            query = F.normalize(query.float(), dim=-1)
            key = F.normalize(key.detach().float(), dim=-1)
            logits = query @ key.transpose(1, 2) / self.temperature  # (B, n, L)
        return F.cross_entropy(logits.flatten(0, 1), index.flatten())
