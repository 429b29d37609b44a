import pytest
import torch
from torch import nn

from mim_bench.conversion.files import state_sha256
from mim_bench.errors import ConfigError
from mim_bench.models.backbones.module_backbone import (
    ModuleBackbone,
    describe_module,
    keep_module,
)


class Pyramid(nn.Module):
    """Maps of strides 4 and 8."""

    def __init__(self):
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(1, 4, 1, 1))
        self.stages = nn.ModuleList([nn.Conv2d(3, 4, 4, 4), nn.Conv2d(4, 6, 2, 2)])
        self.norm = nn.GroupNorm(1, 6)

    def forward(self, x):
        first = self.stages[0](x) + self.bias
        return first, self.norm(self.stages[1](first))


class Tokens(nn.Module):
    """Tokens of patches of 4 px behind one of a class."""

    def __init__(self):
        super().__init__()
        self.patches = nn.Conv2d(3, 5, 4, 4)

    def forward(self, x):
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        return torch.cat((tokens[:, :1] * 0, tokens), dim=1)


def adapted(module, prefix=None, **settings):
    keep_module(module, 'mine')
    described = describe_module(module.eval(), 32, prefix)
    return ModuleBackbone('mine', **described, **settings).eval()


def test_maps_are_the_modules_at_the_four_strides():
    module = Pyramid()
    backbone = adapted(module, out_indices=(0, 1, 2, 3))
    assert (backbone.out_channels, backbone.strides) == ((4, 6, 6, 6), (4, 8, 16, 32))
    images = torch.randn(2, 3, 32, 64)
    with torch.no_grad():
        outs, own = backbone(images), module(images)
    assert torch.equal(outs[0], own[0])
    assert torch.equal(outs[1], own[1])
    assert [tuple(out.shape[2:]) for out in outs] == [(8, 16), (4, 8), (2, 4), (1, 2)]


def test_image_is_filled_up_to_whole_patches_and_the_map_cut_back():
    backbone = adapted(Pyramid(), out_indices=(1,))
    assert backbone(torch.randn(1, 3, 20, 33))[0].shape == (1, 6, 3, 5)


def test_tokens_become_a_map_without_their_prefix():
    module = Tokens()
    backbone = adapted(module, 1)
    images = torch.randn(1, 3, 16, 32)
    assert torch.equal(backbone(images)[0], module.patches(images))


def test_tokens_without_the_number_of_prefix_tokens_are_refused():
    with pytest.raises(ConfigError, match='Give num_prefix_tokens'):
        describe_module(Tokens(), 32)
    with pytest.raises(ConfigError, match='no square grid'):
        describe_module(Tokens(), 32, 0)


class Made(nn.Module):
    """Returns what a function makes of a map (B, 4, rows, cols) of patches of 8 px."""

    def __init__(self, make):
        super().__init__()
        self.patches, self.make = nn.Conv2d(3, 4, 8, 8), make

    def forward(self, x):
        return self.make(self.patches(x))


@pytest.mark.parametrize(
    ('make', 'told'),
    [
        (lambda x: {'x': x}, 'returned dict'),
        (lambda x: [], 'returned nothing'),
        (lambda x: x.permute(0, 2, 3, 1)[:, :, :3], 'no square grid'),
        (lambda x: x.long(), 'returned torch.int64'),
        (lambda x: x.mean(0, keepdim=True), 'for two images'),
        (lambda x: torch.ones_like(x), 'the same for different images'),
        (lambda x: (x, x.repeat_interleave(2, 2).repeat_interleave(2, 3)), 'strides .8, 4'),
        (lambda x: 1 / 0, 'takes no image of 32 x 32 px .ZeroDivisionError'),
    ],
)
def test_other_outputs_are_refused(make, told):
    with pytest.raises(ConfigError, match=told):
        describe_module(Made(make), 32)


@pytest.mark.parametrize(
    ('module', 'told'),
    [
        (nn.AvgPool2d(8), 'no parameters'),
        (nn.Conv2d(3, 4, 8, 8).half(), r'in torch\.float16. Give module\.float'),
        (nn.Conv2d(3, 4, 8, 8, device='meta'), 'on the meta device'),
    ],
)
def test_module_without_weights_in_float32_is_refused(module, told):
    with pytest.raises(ConfigError, match=told):
        describe_module(module, 32)


def test_layers_are_the_entries_of_the_largest_list():
    backbone = adapted(Pyramid())
    depths = {
        n: backbone.get_layer_depth(f'backbone.{n}', 'backbone.') for n in backbone.state_dict()
    }
    assert depths['net.bias'] == (0, 4)
    assert depths['net.stages.0.weight'] == (1, 4)
    assert depths['net.stages.1.weight'] == depths['net.norm.weight'] == (2, 4)
    assert backbone.get_layer_depth('head.weight', 'backbone.') == (3, 4)


def test_copy_is_trained_and_the_module_is_not():
    module = Pyramid()
    backbone = adapted(module)
    digest = state_sha256(module.state_dict())
    nn.init.ones_(backbone.net.stages[0].weight)
    assert state_sha256(module.state_dict()) == digest != state_sha256(backbone.net.state_dict())


def test_frozen_module_has_no_gradients_and_parts_of_it_are_refused():
    frozen = adapted(Pyramid(), frozen_stages=4)
    assert not any(p.requires_grad for p in frozen.parameters())
    with pytest.raises(ConfigError, match='for all of it'):
        adapted(Pyramid(), frozen_stages=1)


def test_module_of_another_process_is_refused():
    with pytest.raises(ConfigError, match='this process has no module'):
        ModuleBackbone('absent', widths=[4], strides=[4])
