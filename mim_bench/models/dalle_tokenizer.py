"""DALL-E's tokenizer, whose visual tokens BEiT predicts."""

from mmpretrain.models.selfsup.cae import DALLEEncoder

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
