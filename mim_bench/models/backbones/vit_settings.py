"""What a vision transformer's arguments may be. Pure functions."""

from collections.abc import Sequence

from mim_bench.errors import ConfigError

ARCHITECTURE_KEYS = ('embed_dims', 'num_layers', 'num_heads', 'feedforward_channels')
# mmpretrain's own 'small' is another network: 8 layers of width 768.
ARCHITECTURES = {
    name: dict(zip(ARCHITECTURE_KEYS, (dims, depth, heads, 4 * dims), strict=True))
    for name, dims, depth, heads in (
        ('tiny', 192, 12, 3),
        ('small', 384, 12, 6),
        ('base', 768, 12, 12),
        ('large', 1024, 24, 16),
        ('huge', 1280, 32, 16),
    )
}

_CHOICES = {
    'out_type': ('raw', 'featmap', 'cls_token', 'avg_featmap'),
    'abs_pos': ('learned', 'zeros', 'fixed', 'none'),
    'rel_pos_bias': ('none', 'per_block', 'shared'),
    'qkv_bias': ('full', 'qv', 'none'),
}


def check_choices(
    out_type: str, abs_pos: str, rel_pos_bias: str, qkv_bias: str, *, with_cls_token: bool
) -> None:
    """Refuse unknown words.

    Raises:
        ConfigError: An argument is none of its choices, or the output is a class token that
            is not there.
    """
    given = (out_type, abs_pos, rel_pos_bias, qkv_bias)
    for (name, choices), value in zip(_CHOICES.items(), given, strict=True):
        if value not in choices:
            raise ConfigError(f'ViT: unknown {name} {value!r}. Known: {", ".join(choices)}.')
    if out_type == 'cls_token' and not with_cls_token:
        raise ConfigError(
            "ViT: out_type='cls_token', but there is no class token (with windows there is one "
            "only if with_cls_token=True). Set it, or out_type='avg_featmap'."
        )


def block_indices(indices: int | Sequence[int], num_layers: int, name: str) -> tuple[int, ...]:
    """Blocks by number, negative ones counted from the last.

    Raises:
        ConfigError: There is no such block.
    """
    given = [indices] if isinstance(indices, int) else list(indices)
    if any(not -num_layers <= i < num_layers for i in given):
        raise ConfigError(f'ViT: {name} {given} names a block that is not among {num_layers}.')
    return tuple(i % num_layers for i in given)


def pair(size: int | Sequence[int]) -> tuple[int, int]:
    """(height, width) of a side or of both.

    Raises:
        ConfigError: There are not two.
    """
    sides = (size, size) if isinstance(size, int) else tuple(size)
    if len(sides) != 2:
        raise ConfigError(f'ViT: {size} is neither a side nor a height and a width.')
    return sides
