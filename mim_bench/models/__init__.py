"""Methods, backbones, necks and heads; importing this package registers them."""

from mim_bench.models.backbones.ummae_pretrain_swin import UMMAEPretrainSwin
from mim_bench.models.backbones.ummae_swin import UMMAESwin
from mim_bench.models.heads.ummae_head import UMMAEHead
from mim_bench.models.methods.ummae import UMMAE
from mim_bench.models.necks.pooled_norm import PooledNorm
from mim_bench.models.necks.stage_projection import StageProjection
from mim_bench.models.necks.ummae_decoder import UMMAEPyramidDecoder

__all__ = [
    'UMMAE',
    'PooledNorm',
    'StageProjection',
    'UMMAEHead',
    'UMMAEPretrainSwin',
    'UMMAEPyramidDecoder',
    'UMMAESwin',
]
