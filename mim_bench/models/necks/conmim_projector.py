"""ConMIM's projector."""

import torch
from mmpretrain.models.necks import NonLinearNeck

from mim_bench.models.linear import linear
from mim_bench.registry import MODELS

STD = 0.02


@MODELS.register_module()
class ConMIMProjector(NonLinearNeck):
    """Linear, BatchNorm, ReLU, twice, then linear and BatchNorm without scale and shift.

    BatchNorm normalises over all tokens of the images of one process: class token and visible
    patches count, other processes never do (:class:`LocalBatchNorm`). State-dict keys are
    those of mmpretrain's ``NonLinearNeck``.

    Args:
        in_channels: C.
        hid_channels: Of both hidden layers.
        out_channels: D.

    Source: ConMIM, TencentARC/ConMIM@4263955, ``projectors`` of modeling_pretrain.py.
    """

    def __init__(self, in_channels: int, hid_channels: int = 4096, out_channels: int = 256) -> None:
        super().__init__(
            in_channels,
            hid_channels,
            out_channels,
            num_layers=3,
            with_last_bn_affine=False,
            with_avg_pool=False,
            norm_cfg=dict(type='mim_bench.LocalBatchNorm'),
            # Cut at one deviation, as in the encoder.
            init_cfg=dict(type='TruncNormal', layer='Linear', std=STD, a=-STD, b=STD),
        )

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Project.

        Args:
            tokens: (B, 1 + L, C), the class token first.

        Returns:
            (B, L, D): the patches; not of unit length.
        """
        x = linear(tokens.flatten(0, 1), self.fc0.weight)
        x = linear(self.bn0(x).relu_(), self.fc1.weight)
        x = linear(self.bn1(x).relu_(), self.fc2.weight)
        return self.bn2(x).unflatten(0, tokens.shape[:2])[:, 1:]
