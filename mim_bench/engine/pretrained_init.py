"""``init_cfg=dict(type='Pretrained', ...)`` of any model, through the load gate."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path

from mmengine.model.weight_init import PretrainedInit, update_init_info
from mmengine.registry import WEIGHT_INITIALIZERS
from mmengine.runner.checkpoint import _load_checkpoint
from torch import nn

from mim_bench.conversion.files import read_checkpoint, state_dict_of
from mim_bench.conversion.key_table import BACKBONE
from mim_bench.engine.load_gate import backbone_state, load_state
from mim_bench.results.record import LoadReport


@dataclass
class Initialisation:
    """What the ``Pretrained`` entries of a model did while its weights were initialised.

    Attributes:
        allow_partial: Go on where a file fills less than 99 % of its module.
        reports: One for each file, in the order of loading.
    """

    allow_partial: bool = False
    reports: list[LoadReport] = field(default_factory=list)


_current: ContextVar[Initialisation | None] = ContextVar('initialisation', default=None)


@contextmanager
def gated_initialisation(*, allow_partial: bool) -> Iterator[Initialisation]:
    """Collect what is loaded inside this context."""
    initialisation = Initialisation(allow_partial)
    token = _current.set(initialisation)
    try:
        yield initialisation
    finally:
        _current.reset(token)


# By force and in mmengine's own scope: models of all libraries initialise through this name.
@WEIGHT_INITIALIZERS.register_module(name='Pretrained', force=True)
class GatedPretrainedInit(PretrainedInit):
    """mmengine's initialisation from a file; raises if too little of the module was filled.

    Args:
        checkpoint: A path, or a URL as mmengine reads it.
        prefix: Prefix of the module's keys in the file, for example 'backbone'. None takes the keys
            as they are, or those under ``backbone.`` where the module has no ``backbone``.
        map_location: Device of a URL's tensors; a file's are read on the CPU.

    Raises:
        CheckpointError: The file cannot be read, a shape differs, or it fills less than 99 %.

    Differs from mmengine's, which logs what does not fit and continues with random weights.
    """

    def __call__(self, module: nn.Module) -> None:
        """Fill the module."""
        is_file = Path(self.checkpoint).is_file() or '://' not in str(self.checkpoint)
        content = (
            read_checkpoint(self.checkpoint)
            if is_file
            else _load_checkpoint(self.checkpoint, map_location=self.map_location or 'cpu')
        )
        state = state_dict_of(content)
        if self.prefix:
            state = backbone_state(state, self.checkpoint, self.prefix.rstrip('.') + '.')
        elif not hasattr(module, 'backbone') and any(key.startswith(BACKBONE) for key in state):
            state = backbone_state(state, self.checkpoint)
        initialisation = _current.get() or Initialisation()
        report = load_state(
            module,
            state,
            self.checkpoint,
            allow_partial=initialisation.allow_partial,
            advice='Give init_cfg the right file and prefix, or pass --allow-partial.',
        )
        initialisation.reports.append(report)
        if hasattr(module, '_params_init_info'):
            update_init_info(module, init_info=self._get_init_info())
