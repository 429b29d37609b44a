"""Images are normalised as the weights of a network were trained."""

import json

import numpy as np
import pytest
import timm
import torch
from PIL import Image

import mim_bench
from mim_bench.conversion.convert import convert_checkpoint
from mim_bench.errors import ConversionError
from mim_bench.recipe.building import build_model, normalised_as_trained
from mim_bench.recipe.config import load_config
from mim_bench.recipe.protocol import protocol_settings
from mim_bench.testing.bad_inputs import DEMO

NAME, TAGGED = 'test_convnext', 'test_convnext.r160_in1k'
HALVES = {'mean': [0.5] * 3, 'std': [0.5] * 3}


@pytest.fixture
def network(tmp_path):
    torch.manual_seed(0)
    net = timm.create_model(NAME, num_classes=0).eval()
    torch.save(net.state_dict(), tmp_path / 'weights.pth')
    return net, tmp_path / 'weights.pth'


def test_features_are_those_of_timm_on_images_of_its_tag(network):
    net, path = network
    pixels = np.random.default_rng(0).integers(0, 256, (256, 256, 3), dtype=np.uint8)
    crop = torch.from_numpy(pixels[16:240, 16:240]).permute(2, 0, 1)[None] / 255
    image = Image.fromarray(pixels)
    for name, mean, std in (
        (TAGGED, 0.5, 0.5),
        (NAME, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
    ):
        mean, std = (torch.tensor(value).expand(3)[:, None, None] for value in (mean, std))
        with torch.no_grad():
            wanted = net.forward_features((crop - mean) / std).mean(dim=(2, 3))
        found = mim_bench.features(path, [image], timm=name, device='cpu').features
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)


def test_normalisation_is_fixed_by_the_checkpoint_and_no_other_protocol(network, tmp_path):
    settings = []
    for name in (NAME, TAGGED):
        convert_checkpoint(network[1], tmp_path / 'out.pth', timm=name)
        cfg = load_config(
            DEMO / 'finetune_vit-toy_1xb64-coslr-4e_toy-in1k-64px.py',
            backbone_of=tmp_path / 'out.pth',
        )
        settings.append(protocol_settings(cfg))
        assert cfg.model.backbone.get('pixels') == (HALVES if name == TAGGED else None)
    assert settings[0] == settings[1]


def test_folder_of_transformers_says_how_images_were_normalised(tmp_path):
    net = timm.create_model('vit_tiny_patch16_224', num_classes=0, depth=2, img_size=64)
    torch.save(net.state_dict(), tmp_path / 'model.pth')
    (tmp_path / 'config.json').write_text(json.dumps({'model_type': 'vit'}))
    recipe = DEMO / 'finetune_vit-toy_1xb64-coslr-4e_toy-in1k-64px.py'
    for number, told in enumerate([0.5, None]):
        images = {} if told is None else {'image_mean': [told] * 3, 'image_std': [told] * 3}
        (tmp_path / 'preprocessor_config.json').write_text(json.dumps(images))
        one, again = (tmp_path / f'{number}-{name}.pth' for name in ('one', 'again'))
        convert_checkpoint(tmp_path / 'model.pth', one, source='timm')
        convert_checkpoint(one, again)
        for path in (one, again):
            cfg = load_config(recipe, backbone_of=path)
            assert cfg.model.backbone.get('pixels') == (HALVES if told else None)
    stated = {'arch': {'pixels': HALVES}, 'source': 'timm'}
    convert_checkpoint(tmp_path / 'model.pth', tmp_path / 'stated.pth', **stated)
    cfg = load_config(recipe, backbone_of=tmp_path / 'stated.pth')
    images = build_model(cfg).data_preprocessor
    assert images.mean.flatten().tolist() == images.std.flatten().tolist() == [127.5] * 3


def test_recipe_with_numbers_of_its_own_keeps_them():
    imagenet = {'mean': [123.675, 116.28, 103.53], 'std': [58.395, 57.12, 57.375]}
    model = {'backbone': {'pixels': HALVES}, 'data_preprocessor': {'size': 9, **imagenet}}
    halves = {'mean': [127.5] * 3, 'std': [127.5] * 3}
    found = normalised_as_trained({'module': model})['module']
    assert found['data_preprocessor'] == {'size': 9, **halves}
    assert model['data_preprocessor']['mean'] == imagenet['mean']
    own = {'mean': [0.0] * 3, 'std': [255.0] * 3}
    assert normalised_as_trained({**model, 'data_preprocessor': own})['data_preprocessor'] == own


def test_tag_that_timm_does_not_have_is_refused(network, tmp_path):
    with pytest.raises(ConversionError, match=r'no weights of that name.*r160_in1k'):
        convert_checkpoint(network[1], tmp_path / 'out.pth', timm=f'{NAME}.other')
