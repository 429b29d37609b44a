"""DALL-E's tokenizer, whose visual tokens BEiT predicts, and the preprocessor of its view."""

from collections.abc import Sequence
from typing import Any

import torch
from mmpretrain.models.selfsup.cae import DALLEEncoder
from mmpretrain.models.utils import SelfSupDataPreprocessor, TwoNormDataPreprocessor

from mim_bench.conversion.files import read_checkpoint, state_dict_of
from mim_bench.errors import CheckpointError, ConfigError
from mim_bench.registry import MODELS


@MODELS.register_module()
class DalleTokenizer(DALLEEncoder):
    """mmpretrain's encoder of DALL-E's discrete VAE, frozen; a missing weight file is an error.

    With ``init_cfg=dict(type='Pretrained', checkpoint=FILE)`` its weights come from a file. If
    FILE is None, as in this package's configs, initialising the weights is an error. Without
    ``init_cfg`` it keeps random weights.

    Args:
        **kwargs: Arguments of mmpretrain's ``DALLEEncoder``.

    Source: mmpretrain 1.2.0, ``models/selfsup/cae.py``. Differs: its parameters need no
    gradient (there they need one, so distributed training looks for unused parameters), and
    a file must have every weight.
    """

    def __init__(self, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.requires_grad_(False)

    def init_weights(self) -> None:
        """Load the weights.

        Raises:
            ConfigError: There is no file.
            CheckpointError: The file lacks weights, or has others.
        """
        if self.init_cfg is None:
            return
        path = self.init_cfg.get('checkpoint')
        if path is None:
            raise ConfigError(
                "BEiT's targets come from DALL-E's tokenizer, but no file with its weights is "
                "given. Get dalle_encoder.pth, which mmpretrain's BEiT config names, and pass "
                '--cfg-options model.target_generator.init_cfg.checkpoint=FILE'
            )
        try:
            self.load_state_dict(state_dict_of(read_checkpoint(path)))
        except RuntimeError as error:
            raise CheckpointError(
                f"{path}: is no checkpoint of mmpretrain's DALL-E encoder. "
                f'{" ".join(str(error).split())[:300]}'
            ) from error


@MODELS.register_module()
class TokenizerDataPreprocessor(TwoNormDataPreprocessor):
    """Normalises the network's view and the tokenizer's view with their own statistics.

    A batch of single images, as in probes and fine-tuning, is normalised for the network;
    mmpretrain's class takes pairs of views only.

    Args:
        second_mean: Mean of the tokenizer's view. The default is DALL-E's: with ``second_std`` it
            squeezes pixels in [0, 1] into [0.1, 0.9].
        second_std: Deviation of the tokenizer's view.
        **kwargs: Arguments of mmpretrain's ``TwoNormDataPreprocessor``.

    Source: BEiT, arXiv:2106.08254; numbers as in mmpretrain 1.2.0's BEiT config.
    """

    def __init__(
        self,
        *,
        second_mean: Sequence[float] = (-31.875, -31.875, -31.875),
        second_std: Sequence[float] = (318.75, 318.75, 318.75),
        **kwargs: object,
    ) -> None:
        super().__init__(second_mean=second_mean, second_std=second_std, **kwargs)

    def forward(self, data: dict, training: bool = False) -> dict[str, Any]:
        """Normalise; see the class.

        Args:
            data: ``inputs``, one tensor (B, 3, H, W) or a list of two, and ``data_samples``.
            training: Not used.
        """
        if isinstance(data['inputs'], torch.Tensor):
            return SelfSupDataPreprocessor.forward(self, data, training)
        return super().forward(data, training)
