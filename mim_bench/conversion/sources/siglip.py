"""The vision towers of SigLIP and SigLIP 2 in Hugging Face's transformers."""

from collections.abc import Mapping

from mim_bench.conversion.huggingface_keys import check_settings, hub_settings, joined_qkv
from mim_bench.conversion.key_table import KeyTable, Rules
from mim_bench.conversion.source import Fit, Network, Source, StateDict
from mim_bench.conversion.timm_models import TimmModel, vit_args
from mim_bench.conversion.vit_keys import ENDING
from mim_bench.errors import ConversionError

_TOWER = r'(?:vision_model\.)?'
_LAYER = rf'{_TOWER}encoder\.layers\.(\d+)'
_RULES: Rules = (
    (rf'{_TOWER}embeddings\.patch_embedding{ENDING}', r'patch_embed.proj.\1'),
    (rf'{_TOWER}embeddings\.position_embedding\.weight', 'pos_embed'),
    (rf'{_LAYER}\.layer_norm([12]){ENDING}', r'blocks.\1.norm\2.\3'),
    (rf'{_LAYER}\.self_attn\.out_proj{ENDING}', r'blocks.\1.attn.proj.\2'),
    (rf'{_LAYER}\.self_attn\.([qkv]_proj){ENDING}', r'blocks.\1.attn.\2.\3'),
    (rf'{_LAYER}\.mlp\.(fc[12]){ENDING}', r'blocks.\1.mlp.\2.\3'),
    (rf'{_TOWER}post_layernorm{ENDING}', r'norm.\1'),
    (rf'{_TOWER}head\..+', None),  # pools the tokens
    (r'text_model\..+|classifier\..+|logit_scale|logit_bias', None),
    (rf'{_TOWER}embeddings\.position_ids', None),
)
_PIXELS = {'mean': [0.5] * 3, 'std': [0.5] * 3}
_ACTIVATIONS = {'gelu_pytorch_tanh': 'gelu_tanh', 'gelu': 'gelu'}


def _detect(state: StateDict, content: Mapping) -> Fit:
    """A table of positions as a matrix, and queries, keys and values apart."""
    names = ('embeddings.position_embedding.weight', 'encoder.layers.0.self_attn.q_proj.weight')
    for tower in ('', 'vision_model.'):
        is_own = all(tower + name in state for name in (*names, 'post_layernorm.weight'))
        if is_own and f'{tower}embeddings.class_embedding' not in state:  # CLIP's
            return Fit.MARK
    return Fit.NO


def _network(state: StateDict, content: Mapping, where: str) -> Network:
    """The network of timm, with the tanh GELU unless the settings beside the file say another."""
    weights = joined_qkv(KeyTable('siglip', _RULES).apply(state, where).rest, where)
    weights['pos_embed'] = weights['pos_embed'][None]
    if weights['patch_embed.proj.weight'].ndim != 4:
        raise ConversionError(
            f'{where}: is a tower for images of any shape (NaFlex), which mim_bench does not read. '
            'Take the release for one size.'
        )
    vision = hub_settings(content)
    activation = vision.get('hidden_act', 'gelu_pytorch_tanh')
    if activation not in _ACTIVATIONS:
        raise ConversionError(
            f'{where}: has the activation {activation!r}; SigLIP has {", ".join(_ACTIVATIONS)}. '
            'Give a checkpoint of SigLIP.'
        )
    check_settings(content, where, activation=activation, eps=1e-6)
    hidden, heads = len(weights['blocks.0.mlp.fc1.weight']), vision.get('num_attention_heads')
    args = vit_args(weights, where, num_prefix=0, hidden=hidden, num_heads=heads)
    args |= {'act_layer': _ACTIVATIONS[activation], 'global_pool': ''}
    assumed = () if heads else ('num_heads',)
    model = TimmModel('vit_base_patch16_siglip_224', args, {'antialias': False}, assumed, _PIXELS)
    return model, weights


SOURCES = (
    Source(name='siglip', detect=_detect, network=_network, method='siglip', licence='Apache-2.0'),
)
