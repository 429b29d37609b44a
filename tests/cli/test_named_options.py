"""Messages name options of the command that runs, or say of which command an option is."""

import re

import pytest
import torch
from PIL import Image

import mim_bench as package
from mim_bench.errors import ConfigError
from mim_bench.testing.commands import mim_bench

OPTION = re.compile(r'--[a-z][a-z-]+')
OF_A_COMMAND = re.compile(r'`mim-bench [^`]*`')


@pytest.fixture
def files(official, tmp_path, monkeypatch):
    """The folder of this process holds a torn image, and files of no and of two networks."""
    monkeypatch.chdir(tmp_path)
    Image.effect_noise((64, 64), 50).save('whole.png')
    (tmp_path / 'torn.png').write_bytes((tmp_path / 'whole.png').read_bytes()[:-600])
    torch.save({'weights': {}}, 'empty.pth')
    state = torch.load(official, weights_only=False)['model']
    two = {f'{name}.{key}': value for name in ('one', 'two') for key, value in state.items()}
    torch.save({'model': two}, 'two.pth')


@pytest.mark.parametrize(
    ('words', 'message'),
    [
        (['features', 'timm:test_vit', 'torn.png', '--out', 'a.npz'], 'does not decode'),
        (['features', 'absent.pth', 'whole.png', '--out', 'a.npz'], 'no such checkpoint'),
        (['features', 'timm:test_vit,source=mae', 'whole.png', '--out', 'a.npz'], 'are for files'),
        (['features', 'a.pth,size=1', 'whole.png', '--out', 'a.npz'], 'is not KEY=VALUE'),
        (
            ['draw', '--features', 'torn.png', '--checkpoint', 'timm:test_vit', '--out', 'a.png'],
            'does not decode',
        ),
        (['inspect', 'empty.pth'], 'has no weights under'),
        (['inspect', 'two.pth'], 'holds several networks'),
    ],
)
def test_message_names_options_that_its_command_has(files, words, message):
    has = set(OPTION.findall(mim_bench(words[0], '--help').stdout))
    done = mim_bench(*words)
    assert done.returncode == 1
    assert message in done.stderr
    assert set(OPTION.findall(OF_A_COMMAND.sub('', done.stderr))) <= {'--debug', *has}


@pytest.mark.parametrize('tasks', ['in1k-kn', 'in1k-ft=mea', ['in1k-ft', 'in1k-ft=mae'], []])
def test_message_to_python_names_no_option(tasks, tmp_path):
    with pytest.raises(ConfigError) as caught:
        package.evaluate('timm:test_vit', tasks, out=tmp_path)
    assert not OPTION.findall(str(caught.value))
