"""LocalMIM's official pre-training checkpoints of the ViT."""

from collections.abc import Mapping

import torch

from mim_bench.conversion.key_table import Converted, KeyTable
from mim_bench.conversion.source import Source
from mim_bench.conversion.vit_keys import block_rule, num_blocks


def detect(state: Mapping[str, torch.Tensor]) -> bool:
    """A norm and a decoder for each task, beside the blocks of a plain ViT."""
    return {'norm.0.weight', 'decoder.0.mask_token', 'blocks.0.attn.qkv.weight'} <= set(state)


def architecture(state: Mapping[str, torch.Tensor]) -> dict:
    """Sizes of the ViT in a file; the number of heads leaves no trace in the weights."""
    return {
        'embed_dims': state['cls_token'].shape[-1],
        'num_layers': num_blocks(state),
        'feedforward_channels': state['blocks.0.mlp.fc1.weight'].shape[0],
        'patch_size': state['patch_embed.proj.weight'].shape[-1],
    }


def convert(state: Mapping[str, torch.Tensor], where: str) -> Converted:
    """Rename the keys; the layers of a prediction head are told apart by their shapes."""
    decoder = r'decoder\.(\d+)\.'
    table = KeyTable(
        'localmim-vit',
        (
            (r'(cls_token|pos_embed)', r'backbone.\1'),
            (r'patch_embed\.proj\.(weight|bias)', r'backbone.patch_embed.projection.\1'),
            block_rule(r'blocks\.(\d+)', 'backbone.layers.{}'),
            (r'norm\.(\d+)\.(weight|bias)', r'neck.decoders.\1.norm_in.\2'),
            (rf'{decoder}(mask_token|pos_embed)', r'neck.decoders.\1.\2'),
            (rf'{decoder}(embed|norm)\.(weight|bias)', r'neck.decoders.\1.\2.\3'),
            block_rule(rf'{decoder}blocks\.(\d+)', 'neck.decoders.{}.blocks.{}'),
            (
                rf'{decoder}pred\.(\d+)\.(weight|bias)',
                lambda k, i, leaf: f'neck.preds.{k}.{_prediction_layer(state, k, int(i))}.{leaf}',
            ),
            (r'hog_enc\.(\d+)\.conv\.bias', r'head.hog_bias\1'),
            (r'hog_enc\.\d+\.conv\.weight', None),  # the constant filters
        ),
    )
    return table.apply(state, where)


def _prediction_layer(state: Mapping[str, torch.Tensor], task: str, index: int) -> str:
    """The name in ``ScaledPrediction`` of a layer of ``decoder.<task>.pred``."""

    def kind(i: int) -> str | None:
        weight = state.get(f'decoder.{task}.pred.{i}.weight')
        if weight is None:  # GELU or pooling
            return None
        if weight.dim() == 1:
            return 'norms'
        return 'proj' if weight.shape[-1] == 1 else 'ups'

    name = kind(index)
    if name == 'proj':
        return name
    return f'{name}.{sum(kind(i) == name for i in range(index))}'


SOURCE = Source(
    name='localmim-vit',
    method='localmim',
    backbone_type='VisionTransformer',
    licence='CC-BY-NC',  # the header of the official model file, without a version
    detect=detect,
    architecture=architecture,
    convert=convert,
)
