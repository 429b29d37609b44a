"""Checkpoints of OpenMMLab's libraries and of this project, whose names are canonical already."""

from collections.abc import Mapping
from functools import partial

from mim_bench.conversion.architecture import stated_network
from mim_bench.conversion.files import meta_of, run_meta
from mim_bench.conversion.key_table import BACKBONE, Converted, KeyTable, Rules
from mim_bench.conversion.source import Fit, Source, StateDict
from mim_bench.conversion.vit_keys import ENDING

# Names of timm and of official repositories.
_FOREIGN = tuple(
    f'{BACKBONE}{name}'
    for name in (
        'blocks.', 'patch_embed.proj.', 'encoder.', 'embeddings.', 'stem.', 'net.', 'model.',
    )
)  # fmt: skip
# A method whose momentum network is its result, as ConMIM's is, calls it teacher.
TEACHER = 'teacher.module.backbone.'
_TEACHER_RULES: Rules = (
    (r'teacher\.module\.((?:backbone|neck)\..+)', r'\1'),
    (r'(?:backbone|neck)\..+|teacher\.steps', None),
)
_RULES: Rules = (
    (r'(backbone\..+)', r'\1'),
    # Heads of dense tasks are called decode_head, rpn_head, roi_head and so on.
    (r'((?:\w+_)?(?:neck|head)\..+)', r'\1'),
    (r'((?:decoder|target_generator|data_preprocessor)\..+)', r'\1'),
    (r'((?:teacher|momentum_\w+|target_net\w*)\..+)', r'\1'),
)
# What mmselfsup and mmclassification called otherwise.
_OLD_RULES: Rules = (
    (rf'backbone\.fc_norm{ENDING}', r'backbone.ln2.\1'),
    (rf'head\.layers\.head{ENDING}', r'head.fc.\1'),
)
_OLD_KEYS = {'backbone.fc_norm.weight', 'head.layers.head.weight'}


def _detect_mmpretrain(state: StateDict, content: Mapping) -> Fit:
    """The backbone stands under ``backbone.``, by OpenMMLab's names or those of timm.

    timm's names are those of official files, too, unless the file says that it is ours.
    """
    is_foreign = any(key.startswith(_FOREIGN) for key in state)
    is_ours = not is_foreign or stated_network(content) is not None
    return Fit.LAYOUT if _has_backbone(state) and is_ours else Fit.NO


def _detect_mmselfsup(state: StateDict, content: Mapping) -> Fit:
    """A name that mmpretrain no longer has, or the library's name in the file's own words."""
    meta = meta_of(content)
    # Versions (0.x), or the text of the config (0.x: 'config', 1.x: 'cfg').
    texts = [str(meta.get(key, '')) for key in ('cfg', 'config')]
    says = 'mmselfsup_version' in meta or any('mmselfsup' in text for text in texts)
    return Fit.MARK if _has_backbone(state) and (says or _OLD_KEYS & set(state)) else Fit.NO


def _detect_symmim(state: StateDict, content: Mapping) -> Fit:
    """What the run wrote into the file, or the head of the contrast beside a momentum network."""
    says = run_meta(content).get('method') == 'symmim'
    parts = {key.partition('.')[0] for key in state}
    is_own = says or {'contrast_head', 'momentum_network'} <= parts
    return Fit.MARK if _has_backbone(state) and is_own else Fit.NO


def _has_backbone(state: StateDict) -> bool:
    return any(key.startswith(BACKBONE) for key in state)


def _rename(name: str, first: Rules, state: StateDict, where: str) -> Converted:
    """Keep every key; of a student and its teacher, the teacher under their names."""
    has_teacher = any(key.startswith(TEACHER) for key in state)
    rules = (*first, *(_TEACHER_RULES if has_teacher else ()), *_RULES)
    return KeyTable(name, rules).apply(state, where)


SOURCES = (
    Source('mmpretrain', _detect_mmpretrain, partial(_rename, 'mmpretrain', ())),
    Source('mmselfsup', _detect_mmselfsup, partial(_rename, 'mmselfsup', _OLD_RULES)),
    # No official files exist: of this project's runs alone.
    Source('symmim', _detect_symmim, partial(_rename, 'symmim', ()), method='symmim'),
)
