"""MAE's official checkpoints: pre-trained with or without the decoder, or fine-tuned."""

from collections.abc import Mapping

from mim_bench.conversion.key_table import KeyTable, Rules
from mim_bench.conversion.source import Fit, Source, StateDict, is_under_model
from mim_bench.conversion.vit_keys import (
    CLASSIFIER_RULES,
    ENDING,
    is_plain_vit,
    mae_decoder_rules,
    vit_rules,
)

# Of a linear probe: a batch norm without weights, and the linear layer.
_PROBE_RULES: Rules = (
    (r'head\.0\.(running_mean|running_var|num_batches_tracked)', r'neck.bn.\1'),
    (rf'head\.1{ENDING}', r'head.fc.\1'),
)
_TABLE = KeyTable('mae', (*vit_rules(), *mae_decoder_rules(), *CLASSIFIER_RULES, *_PROBE_RULES))


def _detect(state: StateDict, content: Mapping) -> Fit:
    """The decoder is this format's alone; an encoder is timm's ViT to the last key.

    A classifier with a norm before its pooling is MAE's only where the file looks like one of
    its repository: plain ViTs of other origin are stored so. Methods that came after it share
    encoder and decoder with it; where the file says the name of its model, that tells.
    """
    others = {'vis_mask_token', 'norm.0.weight'}
    if not is_plain_vit(state) or others & set(state) or 'cls_token' not in state:
        return Fit.NO
    if 'decoder_embed.weight' in state:
        return Fit.LAYOUT if _says_another(content) else Fit.MARK
    if 'head.weight' in state and 'fc_norm.weight' not in state and not is_under_model(content):
        return Fit.NO
    return Fit.LAYOUT


def _says_another(content: Mapping) -> bool:
    args = content.get('args')
    name = args.get('model') if isinstance(args, Mapping) else getattr(args, 'model', None)
    return isinstance(name, str) and not name.startswith('mae_vit')


SOURCES = (
    Source(name='mae', detect=_detect, rename=_TABLE.apply, method='mae', licence='CC-BY-NC-4.0'),
)
