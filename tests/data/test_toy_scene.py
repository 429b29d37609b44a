import numpy as np

from mim_bench.data.toy import photos, scene
from mim_bench.data.toy.digits import digit_indices
from mim_bench.data.toy.scene import (
    PHOTOGRAPH,
    UNLABELLED,
    Digit,
    Scene,
    pile_scene,
    single_digit_scene,
    visible_shares,
)


def _pile(seed, split='train'):
    return pile_scene(np.random.default_rng(seed), split, (128, 128), 5, (28.0, 72.0))


def test_visible_shares_top_layer_takes_from_those_below():
    below = np.array([[1.0, 1.0, 0.5, 0.0]])
    above = np.array([[0.0, 1.0, 0.5, 0.5]])

    shares = visible_shares([below, above])

    np.testing.assert_allclose(shares[0], [[1.0, 0.0, 0.25, 0.0]])
    np.testing.assert_allclose(shares[1], above)


def test_label_map_marks_digit_photograph_and_rim():
    visible = np.array([[0.0, 0.01, 0.3, 0.5, 1.0]], dtype=np.float32)
    picture = Scene(np.zeros((1, 5, 3), dtype=np.uint8), (Digit(7, visible),))

    assert picture.label_map().tolist() == [[PHOTOGRAPH, PHOTOGRAPH, UNLABELLED, 7, 7]]


def test_single_digit_scene_digit_is_whole_and_large():
    for seed in range(10):
        picture = single_digit_scene(np.random.default_rng(seed), 'train', (90, 110), 4)
        rows = np.flatnonzero((picture.digits[0].visible >= 0.5).any(axis=1))
        assert picture.image.shape == (90, 110, 3)
        assert picture.digits[0].label == 4
        # Rotation by 25 degrees and shear change the height of 60..85 % a little.
        assert 0.5 * 90 <= len(rows) <= 90


def test_scenes_splits_share_no_digit_image_and_no_photograph_region(monkeypatch):
    drawn = {'train': set(), 'val': set()}
    reach = {'train': {}, 'val': {}}
    draw_ink, draw_crop = scene.ink, photos.draw_crop

    def crop_spy(rng, split, aspect):
        photograph, box = draw_crop(rng, split, aspect)
        reach[split].setdefault(photograph.name, []).append(box)
        return photograph, box

    monkeypatch.setattr(photos, 'draw_crop', crop_spy)
    for split, indices in drawn.items():
        monkeypatch.setattr(
            scene, 'ink', lambda index, pose, seen=indices: seen.add(index) or draw_ink(index, pose)
        )
        for seed in range(15):
            _pile(seed, split)

    assert len(drawn['train']) > 50
    assert not drawn['train'] & drawn['val']
    assert drawn['val'] <= set(np.concatenate(digit_indices('val')))
    shared = reach['train'].keys() & reach['val'].keys()
    assert len(shared) >= 5
    for name in shared:
        rightmost = max(box[2] for box in reach['train'][name])
        assert rightmost < min(box[0] for box in reach['val'][name])
