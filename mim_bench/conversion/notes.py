"""What the user of a file should know that its weights do not show: assumptions, damage."""

from collections.abc import Iterator, Mapping, Sequence

from mim_bench.conversion.architecture import VIT, unknown_grid
from mim_bench.conversion.containers import Weights, not_finite, one_valued
from mim_bench.conversion.files import SIDECAR, meta_of
from mim_bench.conversion.huggingface_keys import hub_settings
from mim_bench.conversion.timm_models import activation_note, pixels_note, settings_name
from mim_bench.errors import first_of

# Files of these formats whose images were normalised by a mean and a deviation of 0.5, and have the
# keys of others. BEiT: microsoft/unilm@0253688, beit/README.md, --imagenet_default_mean_and_std.
_HALF = {
    'beit': "those that Microsoft released for BEiT (not BEiT v2's)",
    'timm': "Google's ViTs (timm's tags augreg and orig) or BEiT",
    'huggingface': "Google's ViTs or Microsoft's BEiT",
}
# In the names of transformers.
_PATCHES = 'embeddings.patch_embedding'


def notes_on(
    weights: Weights, meta: Mapping, content: Mapping, formats: Sequence[str], timm: str = ''
) -> list[str]:
    """Notes on a file, a sentence or two each.

    Args:
        weights: Its weights, under the file's own names.
        meta: As a canonical file has it; empty for an unknown format.
        content: The file's dictionary.
        formats: Names of the sources that fit.
        timm: The network of timm that the user names.
    """
    assumed = _assumptions(weights, meta, content, formats, timm)
    return [*assumed, *_faults(weights)]


def _assumptions(
    weights: Weights, meta: Mapping, content: Mapping, formats: Sequence[str], timm: str
) -> Iterator[str]:
    arch = meta.get('arch') or {}
    for key in meta.get('assumed') or ():
        yield (
            f'{key}={arch[key]} is assumed (heads about 64 wide): the weights do not show it. Say '
            f'--arch {key}=... if it is another.'
        )
    if grid := unknown_grid(arch):
        yield grid
    if arch.get('bias_interpolation') == 'bilinear':
        yield (
            'relative positions are fitted to other sizes bilinearly, as transformers does it; the '
            'official code of BEiT, which spreads them, gives other features there. Say --arch '
            'bias_interpolation=geometric for those.'
        )
    name = timm or settings_name(content)
    if name and (note := activation_note(name)):
        yield note
    if 'origin_sha256' in meta_of(content):
        return  # an earlier conversion noted the rest
    if meta and SIDECAR not in content and any(_PATCHES in key for key in weights.state):
        yield (
            f'no {SIDECAR} of transformers lies beside the file, so what its weights do not show '
            '(activation, eps of the norms) is assumed to be as usual. Put it there to be sure.'
        )
    if 'pixels' not in arch:
        yield from _pixels(meta, content, formats, timm)


def _pixels(meta: Mapping, content: Mapping, formats: Sequence[str], timm: str) -> Iterator[str]:
    if timm:
        if note := pixels_note(timm):
            yield note
        return
    settings = hub_settings(content)
    is_stated = 'image_mean' in settings or 'mean' in (settings.get('pretrained_cfg') or {})
    names = [_HALF[name] for name in formats if name in _HALF]
    if names and meta.get('backbone_type') == VIT and meta.get('method') != 'mae' and not is_stated:
        yield (
            'the file does not say how images were normalised in training, so that runs use the '
            f"numbers of their recipe (mostly ImageNet's). If it is one of {names[0]}, convert it "
            "with --arch \"pixels={'mean': [0.5, 0.5, 0.5], 'std': [0.5, 0.5, 0.5]}\"."
        )


def _faults(weights: Weights) -> Iterator[str]:
    if weights.others:
        place = f'{weights.container!r}' + (f' under {weights.prefix}' if weights.prefix else '')
        yield (
            f'weights taken from {place}; {", ".join(weights.others)} not taken (--use-ema takes '
            'the average, --container KEY another network)'
        )
    if bad := not_finite(weights.state):
        yield (
            f'{len(bad)} tensors hold values that are not finite: {first_of(bad, 4)}. The file is '
            'damaged, or the training went wrong.'
        )
    if flat := one_valued(weights.state):
        yield (
            f'{len(flat)} weight matrices hold a single value: {first_of(flat, 4)}. The file is '
            'damaged or holds no trained weights.'
        )
