"""What ``mim-bench draw`` makes of its words; the drawing is tested in tests/engine."""

from pathlib import Path

import pytest
from PIL import Image

from mim_bench.cli.main import main

DEMO = Path(__file__).parents[2] / 'configs' / 'demo'
UMMAE = str(next(DEMO.glob('ummae_swin-toy*')))


@pytest.fixture
def image(tmp_path):
    Image.new('RGB', (80, 60), (250, 120, 0)).save(tmp_path / 'image.png')
    return str(tmp_path / 'image.png')


def test_draw_writes_the_picture_and_prints_its_path(image, tmp_path, capsys):
    out = tmp_path / 'new' / 'masks.png'
    assert main(['draw', UMMAE, image, '--out', str(out)]) == 0
    assert out.name in capsys.readouterr().out
    with Image.open(out) as picture:
        assert picture.width > 3 * 64


@pytest.mark.parametrize(
    ('words', 'message'),
    [
        (['absent.png', '--out', 'a.png'], 'absent.png: there is no such image'),
        (['IMAGE', '--out', 'a.jpg'], 'Let the name end in .png'),
        (
            ['IMAGE', '--out', 'a.png', '--checkpoint', 'b.pth'],
            'b.pth: there is no such checkpoint',
        ),
        (
            ['IMAGE', '--out', 'a.png', '--cfg-options', 'model.nek=1'],
            "does not take the key 'nek'",
        ),
    ],
)
def test_draw_slip_is_one_clear_error(words, message, image, capsys):
    words = [image if word == 'IMAGE' else word for word in words]
    assert main(['draw', UMMAE, *words]) == 1
    assert message in ' '.join(capsys.readouterr().err.split())
    assert not Path('a.png').exists()
