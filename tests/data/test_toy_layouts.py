import json

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from mim_bench.data.toy.digits import NAMES


@pytest.fixture(params=['train', 'val'])
def split(request):
    return request.param


@pytest.fixture
def coco(toy_root, split):
    return COCO(toy_root / f'coco/annotations/instances_{split}2017.json')


def _stuff(toy_root, split, image_id):
    return Image.open(toy_root / f'coco/stuffthingmaps/{split}2017/{image_id:012d}.png')


def test_imagenet_list_names_every_file_with_its_class(toy_root, split):
    folder = toy_root / 'imagenet' / split
    lines = (toy_root / 'imagenet/meta' / f'{split}.txt').read_text().splitlines()

    assert len(lines) == {'train': 40, 'val': 20}[split]
    on_disk = {path.relative_to(folder).as_posix() for path in folder.glob('*/*.JPEG')}
    assert {line.split()[0] for line in lines} == on_disk
    for line in lines:
        path, label = line.split()
        assert path.startswith(f'n{int(label):08d}/')


def test_imagenet_images_are_jpegs_of_varied_sizes(toy_root):
    sizes = set()
    for path in (toy_root / 'imagenet').glob('*/*/*.JPEG'):
        with Image.open(path) as image:
            assert (image.format, image.mode) == ('JPEG', 'RGB')
            sizes.add(image.size)
    assert min(map(min, sizes)) >= 80
    assert max(max(size) / min(size) for size in sizes) < 1.4
    assert len(sizes) > 20


def test_ade_annotations_are_palette_maps_of_known_labels(toy_root, split):
    folder = {'train': 'training', 'val': 'validation'}[split]
    base = toy_root / 'ade/ADEChallengeData2016'
    images = sorted((base / 'images' / folder).iterdir())
    maps = sorted((base / 'annotations' / folder).iterdir())

    assert [path.stem for path in images] == [path.stem for path in maps]
    assert maps[0].name == f'ADE_{split}_00000001.png'
    for image_path, map_path in zip(images, maps, strict=True):
        with Image.open(image_path) as image, Image.open(map_path) as labels:
            assert labels.mode == 'P'
            assert labels.size == image.size
            shares = np.bincount(np.asarray(labels).ravel(), minlength=12)
            assert len(shares) == 12
            assert 0 < shares[0] < 0.05 * shares.sum()  # rims, and thin ones
            assert shares[1] > 0.5 * shares.sum()
            assert 1 <= np.count_nonzero(shares[2:]) <= 5


def test_coco_categories_are_the_ten_digits(coco):
    assert [(entry['id'], entry['name']) for entry in coco.loadCats(coco.getCatIds())] == [
        (number, name) for number, name in enumerate(NAMES, start=1)
    ]


def test_coco_splits_share_no_image_id(toy_root):
    ids = [
        {
            image['id']
            for image in json.loads(
                (toy_root / f'coco/annotations/instances_{split}2017.json').read_text()
            )['images']
        }
        for split in ('train', 'val')
    ]

    assert [len(found) for found in ids] == [8, 4]
    assert not ids[0] & ids[1]


def test_coco_polygons_agree_with_the_stuff_maps(toy_root, split, coco):
    for image_id in coco.getImgIds():
        labels = np.asarray(_stuff(toy_root, split, image_id))
        for category in coco.getCatIds():
            annotations = coco.loadAnns(coco.getAnnIds(image_id, category))
            drawn = labels == category - 1
            outlined = np.zeros(labels.shape, dtype=bool)
            for annotation in annotations:
                outlined |= coco.annToMask(annotation).astype(bool)
            if drawn.any() or outlined.any():
                assert (drawn & outlined).sum() / (drawn | outlined).sum() > 0.95


def test_coco_boxes_and_areas_are_those_of_the_polygons(coco):
    for annotation in coco.loadAnns(coco.getAnnIds()):
        image = coco.imgs[annotation['image_id']]
        points = np.concatenate([np.reshape(p, (-1, 2)) for p in annotation['segmentation']])
        left, top, width, height = annotation['bbox']
        assert annotation['iscrowd'] == 0
        np.testing.assert_allclose([left, top], points.min(axis=0), atol=0.006)
        np.testing.assert_allclose([left + width, top + height], points.max(axis=0), atol=0.016)
        assert left >= 0
        assert top >= 0
        assert left + width <= image['width'] + 0.01
        assert top + height <= image['height'] + 0.01
        assert annotation['area'] == pytest.approx(coco.annToMask(annotation).sum(), rel=0.05)


def test_coco_stuff_maps_are_grey_maps_of_known_labels(toy_root, split, coco):
    for image_id in coco.getImgIds():
        labels = _stuff(toy_root, split, image_id)
        image = coco.imgs[image_id]
        assert labels.mode == 'L'
        assert labels.size == (image['width'], image['height'])
        assert set(np.unique(labels)) <= {*range(11), 255}
        assert 255 in np.unique(labels)
