"""InfoNCE between the images of a batch: queries of one network, keys of its momentum copy."""

import torch
from mmengine.dist import all_gather, get_rank
from mmengine.model import BaseModule
from mmpretrain.registry import MODELS as MMPRETRAIN_MODELS
from torch.nn import functional as F

from mim_bench.registry import MODELS


@MODELS.register_module()
class MomentumContrastHead(BaseModule):
    """Tell an image's key from the keys of the whole batch, on all processes.

    Args:
        predictor: Config of the network from a projected query to what is compared with the
            keys; only the online side has it.
        temperature: tau.
        init_cfg: Initialisation of mmengine.

    Source: MoCo v3, arXiv:2104.02057, facebookresearch/moco-v3@c349e6e, ``contrastive_loss``,
    with its factor of two temperatures. Differs from mmpretrain's ``MoCoV3Head``: the logits
    are float32 under mixed precision too.
    """

    level = 'image'

    def __init__(
        self, predictor: dict, *, temperature: float = 0.2, init_cfg: dict | list | None = None
    ) -> None:
        super().__init__(init_cfg)
        self.predictor = MMPRETRAIN_MODELS.build(predictor)
        self.temperature = temperature

    def loss(self, query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
        """Compare.

        Args:
            query: (B, D), projected; gets gradients.
            key: (B, D), projected by the momentum network; row i belongs to query i. B is
                the same on all processes.

        Returns:
            A scalar float32: 2 tau CE(cosines / tau).
        """
        (predicted,) = self.predictor((query,))
        with torch.autocast(query.device.type, enabled=False):
            query = F.normalize(predicted.float(), dim=1)
            key = F.normalize(key.detach().float(), dim=1)
            keys = torch.cat(all_gather(key))  # in the order of the ranks
            logits = query @ keys.t() / self.temperature
        own = torch.arange(len(query), device=query.device) + len(query) * get_rank()
        return 2 * self.temperature * F.cross_entropy(logits, own)
