"""The initialisation that MAE and the methods built on it share."""

from torch import nn


def init_mae_weights(module: nn.Module) -> None:
    """Initialise one module; pass it to ``apply``.

    Linear: Xavier-uniform weights, zero bias. LayerNorm: ones and zeros. Other modules are
    left as they are.

    Source: MAE, arXiv:2111.06377, official ``_init_weights``.
    """
    if isinstance(module, nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.LayerNorm):
        nn.init.ones_(module.weight)
        nn.init.zeros_(module.bias)
