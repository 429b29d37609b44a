"""``--arch``: applies what a user states about an architecture, and checks it by the weights."""

import ast
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from mim_bench.architectures import VIT as VITS
from mim_bench.conversion.architecture import KINDS, OF_SOURCE, Architecture
from mim_bench.conversion.huggingface_keys import checked_pixels
from mim_bench.errors import ConversionError, did_you_mean


def parse_arch(words: Sequence[str]) -> dict:
    """``KEY=VALUE`` words, or the name of a ViT, as a dictionary.

    Raises:
        ConversionError: A word is neither.
    """
    wanted: dict = {}
    for word in words:
        key, equals, text = word.partition('=')
        if not equals:
            wanted |= _named(word)
            continue
        try:
            wanted[key] = ast.literal_eval(text)
        except (ValueError, SyntaxError):
            wanted[key] = text
    return wanted


def apply_arch(found: Architecture, wanted: Mapping, where: str) -> Architecture:
    """Set what the weights do not show, and compare the rest with them.

    Raises:
        ConversionError: A key is unknown, heads do not divide a width, or the weights say
            otherwise.
    """
    kind = KINDS.get(found.backbone_type)
    known = {*found.arch, *(kind.unseen if kind else ())}
    for key, value in wanted.items():
        if key not in known:
            raise ConversionError(
                f'{where}: {found.backbone_type} has no {key!r} in its architecture.'
                f'{did_you_mean(key, known)} Known: {", ".join(sorted(known)) or "none"}.'
            )
        is_read = key in found.arch and key not in (*found.assumed, *OF_SOURCE)
        if is_read and _plain(found.arch[key]) != _plain(value):
            raise ConversionError(
                f'{where}: is of another architecture: --arch says {key}={value}, the weights '
                f'say {found.arch[key]}. Give the right file, or leave {key} out.'
            )
    arch = {**found.arch, **{key: _plain(value) for key, value in wanted.items()}}
    if 'pixels' in wanted:
        arch['pixels'] = checked_pixels(wanted['pixels'], where)
    if 'img_size' in wanted and 'num_patches' in arch:
        _check_patches(arch, where)
    if 'num_heads' in wanted and 'num_heads' in found.assumed:
        _check_heads(arch, where)
    return replace(found, arch=arch, assumed=[key for key in found.assumed if key not in wanted])


def _named(name: str) -> dict:
    if name not in VITS:
        raise ConversionError(
            f'--arch {name}: is neither KEY=VALUE nor a known ViT ({", ".join(VITS)}).'
            f'{did_you_mean(name, VITS)}'
        )
    return dict(VITS[name])


def _check_heads(arch: Mapping, where: str) -> None:
    dims, heads = arch.get('embed_dims', arch.get('embed_dim')), arch['num_heads']
    widths, counts = (x if isinstance(x, list) else [x] for x in (dims, heads))
    is_alike = isinstance(dims, list) == isinstance(heads, list) and len(widths) == len(counts)
    divides = all(isinstance(h, int) and h > 0 for h in counts) and not any(
        width % count for width, count in zip(widths, counts, strict=False)
    )
    if not is_alike or not divides:
        raise ConversionError(
            f'{where}: num_heads={heads} does not divide the width {dims}. Give numbers that do.'
        )


def _check_patches(arch: Mapping, where: str) -> None:
    """The table may lack the row of a class token that the file has."""
    size, patch = (
        [x, x] if isinstance(x, int) else list(x) for x in (arch['img_size'], arch['patch_size'])
    )
    num_patches = math.prod(s // p for s, p in zip(size, patch, strict=True))
    if num_patches - arch['num_patches'] not in (0, arch.get('with_cls_token', True)):
        raise ConversionError(
            f'{where}: --arch img_size={tuple(size)} has {num_patches} patches of {tuple(patch)} '
            f'pixels, the table of positions {arch["num_patches"]}. Give the size in pixels of '
            'the images that the network was trained with.'
        )


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value
