"""What a file is known to be: method, data, labels seen, and where each fact is from."""

import pytest
import torch

from mim_bench.conversion import manifest
from mim_bench.conversion.convert import convert_checkpoint
from mim_bench.conversion.inspection import checkpoint_facts
from mim_bench.conversion.manifest import read_manifest
from mim_bench.files.hashing import file_sha256

DIMS = 32


def vit(**more):
    """A ViT of one block for images of 32 x 32 pixels, under MAE's names."""
    shapes = {'cls_token': (1, 1, DIMS), 'pos_embed': (1, 5, DIMS)}
    shapes |= {'patch_embed.proj.weight': (DIMS, 3, 16, 16), 'blocks.0.mlp.fc1.weight': (64, DIMS)}
    shapes |= {'blocks.0.attn.qkv.weight': (96, DIMS), 'blocks.0.attn.qkv.bias': (96,), **more}
    return {key: torch.rand(shape) for key, shape in shapes.items()}


MAE = vit(**{'decoder_embed.weight': (8, DIMS)})
# The whole but the decoder: 5 + 1 rows of 32, the patches, the layers of the block.
PARAMS = 6 * DIMS + DIMS * 3 * 256 + 64 * DIMS + 96 * DIMS + 96
CANONICAL = {
    'backbone.' + name: value
    for name, value in {
        'cls_token': torch.rand(1, 1, DIMS),
        'pos_embed': torch.rand(1, 5, DIMS),
        'patch_embed.projection.weight': torch.rand(DIMS, 3, 16, 16),
        'layers.0.attn.qkv.weight': torch.rand(96, DIMS),
        'layers.0.ffn.layers.0.0.weight': torch.rand(64, DIMS),
    }.items()
}
START = {
    'method': 'mae', 'pretrain_epochs': 800, 'pretrain_data': 'in22k', 'labels': [],
    'img_size': 224, 'licence': 'MIT', 'sha256': 'ab' * 32,
}  # fmt: skip
FINETUNED = {'task': 'in1k-ft', 'protocol': 'p', 'version': '2', 'start': START}


def write(path, content):
    torch.save(content, path)
    return path


def meta_of(tmp_path, content, **options):
    path = write(tmp_path / 'file.pth', content)
    return convert_checkpoint(path, tmp_path / 'out.pth', **options).meta


def run_of(tmp_path, own, **more):
    """The meta of a converted checkpoint of a run of this project, after 3 epochs."""
    meta = {'epoch': 3, 'mim_bench': own}
    return meta_of(tmp_path, {'state_dict': {**CANONICAL, **more}, 'meta': meta})


def test_pretrained_file_of_a_format_has_seen_no_labels(tmp_path):
    meta = meta_of(tmp_path, {'model': MAE, 'epoch': 799})
    assert (meta['method'], meta['labels'], meta['pretrain_data']) == ('mae', [], None)
    assert (meta['img_size'], meta['params'], meta['epochs']) == (32, PARAMS, 800)
    assert meta['known_from']['labels'] == meta['known_from']['method'] == 'format'
    assert meta['known_from']['img_size'] == 'weights'
    assert 'pretrain_data' not in meta['known_from']


@pytest.mark.parametrize(('classes', 'labels'), [(1000, ['in1k']), (21841, ['in22k']), (7, None)])
def test_classifier_tells_its_labels_by_the_number_of_its_classes(tmp_path, classes, labels):
    state = vit(**{'fc_norm.weight': (DIMS,), 'head.weight': (classes, DIMS)})
    meta = meta_of(tmp_path, {'model': state, 'epoch': 99}, source='mae')
    assert (meta['labels'], meta['method'], meta['finetune_epochs']) == (labels, 'mae', 100)
    assert (meta['epochs'], meta['img_size']) == (None, None)  # of the pre-training


def test_fine_tuned_encoder_without_its_head_is_not_said_to_have_seen_none(tmp_path):
    state = vit(**{'fc_norm.weight': (DIMS,)})
    assert meta_of(tmp_path, {'model': state}, source='mae')['labels'] is None


@pytest.mark.parametrize(
    ('head', 'classes', 'labels'),
    [('decode_head.conv_seg', 150, ['ade20k']), ('roi_head.bbox_head.2.fc_cls', 81, ['coco'])],
)
def test_dense_model_tells_its_labels_by_its_head(tmp_path, head, classes, labels):
    state = {**CANONICAL, f'{head}.weight': torch.zeros(classes, 4)}
    assert meta_of(tmp_path, {'state_dict': state})['labels'] == labels


def test_what_the_user_states_comes_first(tmp_path):
    stated = {'method': 'dino', 'labels': ['in1k'], 'pretrain_data': 'in22k'}
    meta = meta_of(tmp_path, {'model': MAE}, facts=stated)
    assert {key: meta[key] for key in stated} == stated
    assert {meta['known_from'][key] for key in stated} == {'stated'}


def test_release_of_the_list_comes_before_the_format(tmp_path, monkeypatch):
    path = write(tmp_path / 'file.pth', {'model': MAE})
    release = next(r for r in read_manifest() if r.labels == ['in1k'])
    release = release.model_copy(update={'sha256': file_sha256(path), 'pretrain_epochs': 1600})
    monkeypatch.setattr(manifest, '_known_releases', lambda: [release])
    meta = convert_checkpoint(path, tmp_path / 'out.pth').meta
    assert (meta['labels'], meta['pretrain_data'], meta['epochs']) == (['in1k'], 'in1k', 1600)
    assert meta['known_from']['labels'] == 'release'


def test_pretraining_run_says_its_own(tmp_path):
    own = {'task': 'pretrain', 'method': 'symmim', 'epochs': 100, 'pretrain_data': 'in1k'}
    own |= {'img_size': 224, 'start': {'method': 'random', 'labels': []}}
    meta = run_of(tmp_path, own)
    assert (meta['method'], meta['epochs'], meta['pretrain_data']) == ('symmim', 3, 'in1k')
    assert (meta['labels'], meta['img_size'], meta.get('trained_by')) == ([], 224, None)


@pytest.mark.parametrize(
    ('before', 'labels'),
    [([], ['in1k']), (['ade20k'], ['ade20k', 'in1k']), (['in1k'], ['in1k']), (None, ['in1k'])],
)
def test_fine_tuning_adds_its_data_set_to_the_labels_of_its_start(tmp_path, before, labels):
    own = {**FINETUNED, 'start': {**START, 'labels': before}}
    meta = run_of(tmp_path, own, **{'head.fc.weight': torch.zeros(10, DIMS)})
    assert meta['labels'] == labels
    assert (meta['method'], meta['epochs'], meta['pretrain_data']) == ('mae', 800, 'in22k')
    assert (meta['img_size'], meta['licence'], meta['finetune_epochs']) == (224, 'MIT', 3)
    expected = {'task': 'in1k-ft', 'protocol': 'p', 'version': '2', 'hash': None}
    assert meta['trained_by'] == expected


def test_run_from_random_weights_with_labels_is_supervised(tmp_path):
    own = {**FINETUNED, 'start': {'method': 'random', 'labels': []}}
    meta = run_of(tmp_path, own)
    assert (meta['method'], meta['labels']) == ('supervised-in1k', ['in1k'])


def test_checkpoint_facts_of_a_file_and_of_its_conversions_are_the_same(tmp_path):
    decoder = {'decoder_embed.weight': torch.zeros(DIMS, DIMS)}
    path = write(tmp_path / 'mae.pth', {'model': MAE | decoder, 'epoch': 799})
    once = convert_checkpoint(path, tmp_path / 'a.pth').path
    twice = convert_checkpoint(once, tmp_path / 'b.safetensors').path
    facts = checkpoint_facts(path)
    assert facts['sha256'] == file_sha256(path)
    assert (facts['method'], facts['pretrain_epochs'], facts['params']) == ('mae', 800, PARAMS)
    converted = checkpoint_facts(once)
    assert 'num_heads' in converted['notes'][0]
    assert checkpoint_facts(twice) == converted == facts | {'notes': converted['notes']}


def test_checkpoint_facts_of_a_file_of_several_formats_leave_out_what_they_do_not_share(tmp_path):
    facts = checkpoint_facts(write(tmp_path / 'x.pth', vit()))
    assert (facts['method'], facts['labels'], facts['licence']) == ('unknown', None, None)
    assert (facts['img_size'], facts['params']) == (32, PARAMS)
    assert facts['known_from'] == {'img_size': 'weights', 'params': 'weights'}
