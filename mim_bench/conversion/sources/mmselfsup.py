"""Checkpoints of mmselfsup and of mmclassification, from which mmpretrain was made."""

from collections.abc import Mapping

from mim_bench.conversion.key_table import Converted, Rules
from mim_bench.conversion.openmmlab_keys import has_backbone, openmmlab_table
from mim_bench.conversion.source import Fit, Source, StateDict
from mim_bench.conversion.vit_keys import ENDING

# What has other names there; the rest is mmpretrain's.
_OLD_RULES: Rules = (
    (rf'backbone\.fc_norm{ENDING}', r'backbone.ln2.\1'),
    (rf'head\.layers\.head{ENDING}', r'head.fc.\1'),
)
_OLD_KEYS = {'backbone.fc_norm.weight', 'head.layers.head.weight'}


def detect(state: StateDict, content: Mapping) -> Fit:
    """A name that mmpretrain no longer has, or the library's name in the file's own words."""
    if not has_backbone(state):
        return Fit.NO
    return Fit.MARK if _OLD_KEYS & set(state) or _says_mmselfsup(content) else Fit.NO


def rename(state: StateDict, where: str) -> Converted:
    """To mmpretrain's names."""
    return openmmlab_table('mmselfsup', state, _OLD_RULES).apply(state, where)


def _says_mmselfsup(content: Mapping) -> bool:
    """``meta`` holds versions (0.x) and the text of the config (0.x: 'config', 1.x: 'cfg')."""
    meta = content.get('meta')
    if not isinstance(meta, Mapping):
        return False
    if 'mmselfsup_version' in meta:
        return True
    return any('mmselfsup' in str(meta.get(key, '')) for key in ('cfg', 'config'))


SOURCE = Source(name='mmselfsup', detect=detect, rename=rename)
