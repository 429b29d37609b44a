"""LocalMIM's official checkpoints: ViT and Swin pre-trained, ViT fine-tuned."""

from collections.abc import Mapping

from mim_bench.conversion.architecture import SWIN
from mim_bench.conversion.key_table import Converted, KeyTable, Rules
from mim_bench.conversion.source import Fit, Source, StateDict
from mim_bench.conversion.swin_keys import COLUMN_FIRST, ROW_FIRST, is_swin, swin_rules
from mim_bench.conversion.vit_keys import (
    CLASSIFIER_RULES,
    ENDING,
    block_rule,
    is_mean_pooled,
    vit_rules,
)

PREFIX = 'encoder.'  # of the Swin
_DECODER = r'decoder\.(\d+)\.'
_DECODER_RULES: Rules = (
    # The norms of the tasks; behind the mergings of a Swin, so that none of its own fits.
    (rf'(?:encoder\.)?norm\.(\d+){ENDING}', r'neck.decoders.\1.norm_in.\2'),
    (rf'{_DECODER}(mask_token|pos_embed)', r'neck.decoders.\1.\2'),
    (rf'{_DECODER}(embed|norm){ENDING}', r'neck.decoders.\1.\2.\3'),
    block_rule(rf'{_DECODER}blocks\.(\d+)', 'neck.decoders.{}.blocks.{}'),
    (r'hog_enc\.(\d+)\.conv\.bias', r'head.hog_bias\1'),
    (r'hog_enc\.\d+\.conv\.weight', None),  # the constant filters of the gradient
)


def _detect(state: StateDict, content: Mapping) -> Fit:
    """A norm and a decoder for each task; a fine-tuned ViT is MAE's to the last key."""
    if 'encoder.norm.0.weight' in state and is_swin(state, PREFIX):
        return Fit.MARK
    if {'norm.0.weight', 'decoder.0.mask_token', 'blocks.0.attn.qkv.weight'} <= set(state):
        return Fit.MARK
    return Fit.LAYOUT if is_mean_pooled(state) else Fit.NO


def _rename(state: StateDict, where: str) -> Converted:
    """To the names of ``mim_bench.LocalMIM``, or of a classifier."""
    if is_swin(state, PREFIX):
        rules = (*swin_rules(PREFIX), (rf'decoder\.(\d+)\.pred{ENDING}', r'neck.preds.\1.\2'))
    else:
        rules = (*vit_rules(), *_prediction_rules(state), *CLASSIFIER_RULES)
    return KeyTable('localmim', (*rules, *_DECODER_RULES)).apply(state, where)


def _prediction_rules(state: StateDict) -> Rules:
    """The layers of a ViT's prediction heads are told apart by their shapes."""

    def kind(task: str, index: int) -> str | None:
        weight = state.get(f'decoder.{task}.pred.{index}.weight')
        if weight is None:  # GELU or pooling
            return None
        if weight.dim() == 1:
            return 'norms'
        return 'proj' if weight.shape[-1] == 1 else 'ups'

    def place(task: str, index: str, leaf: str) -> str:
        name = kind(task, int(index))
        number = sum(kind(task, i) == name for i in range(int(index)))
        return f'neck.preds.{task}.{name}' + ('' if name == 'proj' else f'.{number}') + f'.{leaf}'

    return ((rf'{_DECODER}pred\.(\d+){ENDING}', place),)


SOURCES = (
    Source(
        name='localmim',
        detect=_detect,
        rename=_rename,
        method='localmim',
        licence='CC-BY-NC',  # the header of the official model file, without a version
        # Official pre-training merges row by row, official fine-tuning and segmentation read the
        # same weights column by column, and the published numbers come from that.
        merge_orders={'pretrain': ROW_FIRST, 'official-finetune': COLUMN_FIRST},
        unseen_settings={SWIN: {'norm_eps': 1e-6}},
        order_settings={'official-finetune': {'norm2_eps': 1e-5}},
    ),
)
