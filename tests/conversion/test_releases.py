"""Released files at their full sizes: recognised as what they are, or refused.

``releases.jsonl`` lists their names and shapes, a file on a line. They were dumped from definitions
that are not this project's: official repositories and packages, and Hugging Face's transformers;
``from`` names each. ``[0-11]`` in a name stands for these numbers; under ``tensors`` the first
level is the place in the file's dictionary, '' its top level. Values are zeros without memory.
"""

import json
import math
import re
from pathlib import Path

import pytest
import torch

from mim_bench.conversion.architecture import found_architecture
from mim_bench.conversion.containers import open_container
from mim_bench.conversion.detection import AUTO, only_source, recognise
from mim_bench.conversion.files import SIDECAR
from mim_bench.errors import ConversionError

RELEASES = [
    json.loads(line)
    for line in Path(__file__).with_name('releases.jsonl').read_text('utf-8').splitlines()
]
REFUSED = 'refused'


def tensors(listed: dict) -> dict[str, torch.Tensor]:
    """Zeros of the listed shapes; stored positions have their values."""
    state = {}
    for pattern, shape in listed.items():
        sizes = [size for size in shape if isinstance(size, int)]
        dtype = torch.float32 if sizes == shape else getattr(torch, shape[-1])
        state |= {name: value_of(name, sizes, dtype) for name in numbered(pattern)}
    return state


def numbered(pattern: str) -> list[str]:
    match = re.search(r'\[(\d+)-(\d+)\]', pattern)
    if match is None:
        return [pattern]
    numbers = range(int(match[1]), int(match[2]) + 1)
    return [pattern.replace(match[0], str(number)) for number in numbers]


def value_of(name: str, shape: list[int], dtype: torch.dtype) -> torch.Tensor:
    if name.endswith('rope_embed.periods'):
        return 100 ** (torch.arange(*shape) / shape[0])
    if 'rope.freqs_' in name:  # EVA-02's, of 16 x 16 patches
        half = shape[1] // 2
        angles = torch.arange(16)[:, None] * 10000.0 ** -(torch.arange(0, half, 2) / half)
        angles = angles.repeat_interleave(2, dim=1)
        both = torch.cat((angles.repeat_interleave(16, dim=0), angles.repeat(16, 1)), dim=1)
        return both.cos() if 'cos' in name else both.sin()
    if name.endswith('absolute_pos_embed'):  # MixMIM's, of sines and cosines
        side, quarter = math.isqrt(shape[1]), shape[2] // 4
        angles = torch.arange(side)[:, None] * 10000.0 ** -(torch.arange(quarter) / quarter)
        waves = torch.cat((angles.sin(), angles.cos()), dim=1)
        return torch.cat((waves.repeat(side, 1), waves.repeat_interleave(side, 0)), dim=1)[None]
    return torch.zeros((), dtype=dtype).expand(shape)


def content_of(release: dict) -> dict:
    places = {place: tensors(listed) for place, listed in release['tensors'].items()}
    beside = {SIDECAR: release[SIDECAR]} if SIDECAR in release else release.get('beside', {})
    if '' in places:
        bare = places.pop('')
        return {'state_dict': bare, **beside} if SIDECAR in beside else {**bare, **places}
    return {**places, **beside}


def cases() -> list:
    """Each release; some seconds of joining queries, keys and values are slow."""
    marks = {'hf siglip-so400m-patch14-384': pytest.mark.slow, 'dinov2_vitg14': pytest.mark.slow}
    return [
        pytest.param(release, id=release['name'], marks=marks.get(release['name'], ()))
        for release in RELEASES
    ]


@pytest.mark.parametrize('release', cases())
def test_release_is_recognised_as_what_it_is_or_refused(release):
    content, name = content_of(release), release['name']
    source_name, network = release['expect']

    def convert():
        weights, fitting = recognise(open_container(content, name), content, AUTO, name)
        source = only_source(fitting, weights.state, name, content)
        return source, source.convert(weights.state, name, content=content)

    if source_name == REFUSED:
        with pytest.raises(ConversionError, match=network):
            convert()
        return
    source, converted = convert()
    assert source.name == source_name
    found = found_architecture(converted, source, content)
    assert network in (found.backbone_type, found.arch.get('name'))
    given = sum(v.numel() for place in release['tensors'].values() for v in tensors(place).values())
    kept = sum(value.numel() for value in converted.backbone.values())
    assert 0.2 * given < kept <= given


def data2vec2():
    state = {f'blocks.{i}.attn.qkv.weight': torch.zeros(1).expand(2304, 768) for i in range(12)}
    extra = {'modality_encoders.IMAGE.extra_tokens': torch.zeros(1).expand(1, 1, 768)}
    return {'model': state | extra}


def test_network_without_a_source_is_refused():
    content = data2vec2()
    weights, fitting = recognise(open_container(content, 'x'), content, AUTO, 'x')
    with pytest.raises(ConversionError, match=r'fits: none.*--timm NAME'):
        only_source(fitting, weights.state, 'x')
