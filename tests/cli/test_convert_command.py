import sys
import types

import pytest
import timm
import torch

from mim_bench.cli.main import main
from mim_bench.files.hashing import file_sha256
from mim_bench.models.backbones.vit import ViT


def test_convert_official_file_becomes_canonical(official, tmp_path, capsys):
    target = tmp_path / 'new' / 'swin.pth'
    assert main(['convert', str(official), str(target)]) == 0
    content = torch.load(target, weights_only=True)
    keys = set(content['state_dict'])
    assert all(key.startswith('backbone.') for key in keys)
    assert 'backbone.stages.1.blocks.0.attn.w_msa.posmlp.2.weight' in keys
    meta = content['meta']
    assert (meta['method'], meta['epochs'], meta['licence']) == ('ummae', 10, 'CC-BY-NC-4.0')
    sizes = dict(embed_dims=4, depths=[1, 1], num_heads=[1, 2], posmlp_dims=3)
    assert meta['arch'] == {**sizes, 'patch_size': 4, 'norms': ['norm']}
    assert meta['origin_sha256'] == file_sha256(official)
    printed = capsys.readouterr().out
    assert 'recognised as ummae' in printed
    assert 'epochs: 10' in printed
    assert str(target) in printed


def test_convert_says_what_it_dropped(official, tmp_path, capsys):
    main(['convert', str(official), str(tmp_path / 'swin.pth')])
    dropped = next(line for line in capsys.readouterr().out.splitlines() if 'dropped' in line)
    for key in ('neck.mask_token', 'neck.decoder_pred.weight', 'backbone.vis_mask_token'):
        assert key in dropped
    assert 'kept 13 tensors' in dropped


def test_convert_keep_decoder_keeps_all(official, tmp_path, capsys):
    main(['convert', str(official), str(tmp_path / 'swin.pth'), '--keep-decoder'])
    keys = torch.load(tmp_path / 'swin.pth', weights_only=True)['state_dict']
    assert {'neck.mask_token', 'backbone.vis_mask_token'} <= set(keys)
    assert 'dropped nothing' in capsys.readouterr().out


def backbone_state(norm=1.0):
    """A ViT of one layer under canonical names, whose last norm has weights of one value."""
    arch = dict(embed_dims=64, num_layers=1, num_heads=1, feedforward_channels=64)
    state = ViT(arch=arch, img_size=32, patch_size=16).state_dict()
    state['ln1.weight'].fill_(norm)
    return {f'backbone.{key}': value for key, value in state.items()}


def test_convert_work_dir_takes_its_newest_checkpoint(tmp_path, capsys):
    for epoch in (1, 2):
        content = {
            'state_dict': backbone_state(norm=float(epoch)),
            'meta': {'epoch': epoch, 'mim_bench': {'method': 'simmim'}},
        }
        torch.save(content, tmp_path / f'epoch_{epoch}.pth')
    # The folder was moved after the run.
    (tmp_path / 'last_checkpoint').write_text('elsewhere/epoch_2.pth')
    assert main(['convert', str(tmp_path), str(tmp_path / 'out.pth')]) == 0
    content = torch.load(tmp_path / 'out.pth', weights_only=True)
    assert content['state_dict']['backbone.ln1.weight'][0] == 2
    assert (content['meta']['epochs'], content['meta']['method']) == (2, 'simmim')


@pytest.mark.parametrize('words', [['convert', 'out.pth'], ['inspect']])
def test_folder_without_a_run_is_one_message(words, tmp_path, capsys):
    assert main([words[0], str(tmp_path), *words[1:]]) == 1
    assert 'without the checkpoint of a run. Name the file' in capsys.readouterr().err


class Payload:
    """Not on the allow-list."""


def test_convert_foreign_class_is_refused_by_name_unless_trusted(tmp_path, capsys):
    source, target = tmp_path / 'foreign.pth', tmp_path / 'out.pth'
    torch.save({'state_dict': backbone_state(), 'extra': Payload()}, source)
    assert main(['convert', str(source), str(target)]) == 1
    assert 'Payload' in capsys.readouterr().err
    assert not target.exists()
    assert main(['convert', str(source), str(target), '--trust']) == 0


@pytest.mark.parametrize('wrap', [lambda net: net, lambda net: {'model': net, 'epoch': 1}])
def test_convert_module_that_was_saved_whole(wrap, tmp_path, capsys):
    source, target = tmp_path / 'whole.pth', tmp_path / 'out.pth'
    arch = dict(embed_dim=64, depth=1, num_heads=1, img_size=32)
    net = timm.create_model('vit_tiny_patch16_224', num_classes=0, **arch)
    torch.save(wrap(net), source)
    command = ['convert', str(source), str(target), '--source', 'timm']
    assert main(command) == 1
    assert 'torch.save(model.state_dict(), FILE)' in capsys.readouterr().err
    assert main([*command, '--trust']) == 0
    state = torch.load(target, weights_only=True)['state_dict']
    assert torch.equal(state['backbone.ln1.weight'], net.norm.weight)


def test_convert_class_that_is_gone_is_one_message(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, 'gone', types.ModuleType('gone'))
    sys.modules['gone'].Payload = Payload
    monkeypatch.setattr(Payload, '__module__', 'gone')
    torch.save({'state_dict': backbone_state(), 'extra': Payload()}, tmp_path / 'a.pth')
    for gone in (lambda: monkeypatch.delattr('gone.Payload'), lambda: sys.modules.pop('gone')):
        gone()
        assert main(['convert', str(tmp_path / 'a.pth'), str(tmp_path / 'b.pth'), '--trust']) == 1
        told = capsys.readouterr().err
        assert 'classes that are not installed here' in told
        assert 'save the weights alone' in told


@pytest.mark.parametrize(
    ('words', 'message'),
    [
        (['--source', 'umae'], "Did you mean 'ummae'"),
        (['--source', 'mmpretrain'], 'no rule'),
    ],
)
def test_convert_wrong_source_is_one_message(official, tmp_path, capsys, words, message):
    assert main(['convert', str(official), str(tmp_path / 'out.pth'), *words]) == 1
    assert message in capsys.readouterr().err


def test_convert_unknown_key_is_named(official, tmp_path, capsys):
    content = torch.load(official, weights_only=False)
    content['model']['surprise.weight'] = torch.ones(1)
    torch.save(content, official)
    assert main(['convert', str(official), str(tmp_path / 'out.pth')]) == 1
    assert 'surprise.weight' in capsys.readouterr().err
    assert not (tmp_path / 'out.pth').exists()


@pytest.fixture
def vit_file(tmp_path):
    """A toy MAE encoder of width 32, two heads, under the official names."""
    shapes = {'cls_token': (1, 1, 32), 'pos_embed': (1, 5, 32), 'norm.weight': (32,)}
    shapes |= {'patch_embed.proj.weight': (32, 3, 16, 16), 'blocks.0.mlp.fc1.weight': (64, 32)}
    shapes |= {'blocks.0.attn.qkv.weight': (96, 32), 'blocks.0.attn.qkv.bias': (96,)}
    state = {key: torch.randn(shape) for key, shape in shapes.items()}
    torch.save({'model': state}, tmp_path / 'vit.pth')
    return tmp_path / 'vit.pth'


def test_convert_says_what_it_assumed(vit_file, tmp_path, capsys):
    assert main(['convert', str(vit_file), str(tmp_path / 'a.pth')]) == 0
    printed = capsys.readouterr().out
    assert "recognised as mae, weights under 'model'" in printed
    assert 'note: num_heads=1 is assumed (heads about 64 wide)' in printed


def test_convert_arch_fills_in_what_the_weights_do_not_tell(vit_file, tmp_path, capsys):
    words = ['convert', str(vit_file), str(tmp_path / 'a.pth'), '--arch', 'num_heads=2']
    assert main([*words, 'embed_dims=32']) == 0
    assert 'note:' not in capsys.readouterr().out
    meta = torch.load(tmp_path / 'a.pth', weights_only=True)['meta']
    assert (meta['arch']['num_heads'], meta['assumed']) == (2, [])


def test_convert_other_architecture_is_one_message(vit_file, tmp_path, capsys):
    assert main(['convert', str(vit_file), str(tmp_path / 'a.pth'), '--arch', 'base']) == 1
    assert 'is of another architecture: --arch says embed_dims=768' in capsys.readouterr().err


def test_convert_to_timm_and_huggingface(vit_file, tmp_path):
    for to, key in (('timm', 'blocks.0.mlp.fc1.weight'), ('huggingface', 'layernorm.weight')):
        path = tmp_path / f'{to}.pth'
        assert main(['convert', str(vit_file), str(path), '--to', to]) == 0
        content = torch.load(path, weights_only=True)
        assert key in content.get('state_dict', content)


def test_convert_verify_of_another_layout_is_refused_before_anything_is_written(
    official, tmp_path, capsys
):
    target = tmp_path / 'timm.pth'
    assert main(['convert', str(official), str(target), '--verify', '--to', 'timm']) == 1
    assert '--verify reads canonical files, not --to timm' in capsys.readouterr().err
    assert not target.exists()


@pytest.mark.parametrize('name', ['swin.safetensor', 'swin', 'notes.txt'])
def test_convert_target_of_no_checkpoint_suffix_is_refused(official, tmp_path, capsys, name):
    assert main(['convert', str(official), str(tmp_path / name)]) == 1
    assert f'{name}: a checkpoint is written to a file that ends in' in capsys.readouterr().err
    assert not (tmp_path / name).exists()


def test_convert_onto_its_own_source_keeps_the_source(official, tmp_path, capsys):
    before = file_sha256(official)
    (tmp_path / 'link.pth').symlink_to(official)
    assert main(['convert', str(official), str(tmp_path / 'link.pth')]) == 1
    assert 'would overwrite the checkpoint that it reads' in capsys.readouterr().err
    assert file_sha256(official) == before
