import re

import pytest
import yaml

from mim_bench.errors import RecordError
from mim_bench.results.published import (
    FOLDER,
    PublishedSource,
    load_published,
    network_family,
    read_published,
)
from mim_bench.suite.config_index import index_configs

MMSEG = 'open-mmlab/mmsegmentation@v1.2.2'
SWIN = 'SwinTransformer/Swin-Transformer-Object-Detection'
# Written out once more from the sources, not from the files.
BY_HAND = [
    ('ummae', 'ummae-swin-tiny', 200, 'in1k-ft', 'top1', 82.04, 'implus/UM-MAE@cb7776b'),
    ('simmim', 'ummae-pvt-small', 200, 'in1k-ft', 'top1', 79.28, 'implus/UM-MAE@cb7776b'),
    ('ummae', 'ummae-swin-large', 800, 'coco-htc-plus', 'bbox_mAP', 57.4, 'implus/UM-MAE@cb7776b'),
    ('localmim', 'vit-base', 1600, 'in1k-ft', 'top1', 84.0, 'Haoqing-Wang/LocalMIM@314a6e5'),
    ('localmim', 'vit-large', 800, 'in1k-ft', 'top1', 85.8, 'Haoqing-Wang/LocalMIM@314a6e5'),
    ('conmim', 'beit-vit-small', 300, 'in1k-ft', 'top1', 82.0, 'TencentARC/ConMIM@4263955'),
    ('conmim', 'beit-vit-large', 1600, 'in1k-ft', 'top1', 86.5, 'TencentARC/ConMIM@4263955'),
    ('mae', 'vit-base', 1600, 'in1k-ft', 'top1', 83.664, 'facebookresearch/mae@efb2a80'),
    ('mae', 'vit-large', 1600, 'in1k-linear', 'linear_top1', 76.0, 'facebookresearch/mae@efb2a80'),
    ('mae', 'vit-base', 1600, 'coco-mask-rcnn', 'segm_mAP', 43.0, 'hustvl/MIMDet@fb0aaa1'),
    ('cae', 'vit-base', 1600, 'ade20k-upernet', 'mIoU', 50.3, 'Atten4Vis/CAE@a7fd162'),
    ('simmim', 'swin-base', 100, 'in1k-ft', 'top1', 83.5, 'open-mmlab/mmpretrain@v1.2.0'),
    ('mae', 'vit-large', None, 'coco-mask-rcnn', 'segm_mAP', 49.2, 'facebookresearch/detectron2'),
    ('ummae', 'ummae-swin-large', 800, 'coco-htc-plus', 'segm_mAP', 50.9, None),
    ('beit', 'beit-vit-base', None, 'ade20k-upernet', 'mIoU', 53.08, MMSEG),
    ('supervised-in1k', 'swin-tiny', None, 'coco-mask-rcnn', 'bbox_mAP', 43.7, SWIN),
]

FILE = """
schema_version: 1
sources:
  readme: {title: A, repository: owner/a, place: README, read_as: repository}
protocols:
  ft: {task: in1k-ft, stated: fine-tuning}
entries:
  - kind: own
    method: mae
    backbone: vit-base
    pretrain_epochs: 1600
    protocol: ft
    source: readme
    values: {top1: 83.6}
"""
ALL = load_published()


@pytest.fixture
def read(tmp_path):
    """Reads a folder with one file, of which parts are changed or left out (None)."""

    def run(**changes):
        data = yaml.safe_load(FILE)
        for path, value in changes.items():
            *parents, last = path.split('__')
            node = data
            for key in parents:
                node = node[0 if key == 'entry' else key]
            if value is None:
                del node[last]
            else:
                node[last] = value
        (tmp_path / 'a.yml').write_text(yaml.safe_dump(data, sort_keys=False))
        return read_published(tmp_path)

    return run


@pytest.mark.parametrize('fact', BY_HAND, ids=lambda fact: '-'.join(map(str, fact[:5])))
def test_load_published_has_the_value_of_the_source(fact):
    *key, value, repository = fact
    found = [
        r.value
        for r in ALL.results
        if [r.method, r.backbone, r.pretrain_epochs, r.task, r.metric] == key
        and r.source.repository == repository
    ]
    assert value in found


def test_load_published_every_number_has_source_and_place():
    for entry in (*ALL.results, *ALL.costs):
        assert entry.source.title
        assert entry.source.place
        assert entry.source.link.startswith('https://')


def test_load_published_costs_are_those_of_the_table():
    hours = {
        (c.variant, c.backbone): c.value
        for c in ALL.costs
        if c.method == 'localmim' and c.quantity == 'gpu_hours_per_epoch'
    }
    assert hours == {
        ('hog', 'vit-base'): 0.7,
        ('hog', 'vit-large'): 1.0,
        ('pixel', 'swin-base'): 1.0,
        ('hog', 'swin-base'): 1.1,
        ('hog', 'swin-large'): 1.6,
    }


def test_load_published_protocols_of_ours_exist_for_task_and_backbone():
    there = {(e.task, e.protocol, network_family(e.backbone)) for e in index_configs()}
    named = {
        (r.task, r.protocol.name, network_family(r.backbone))
        for r in ALL.results
        if r.protocol.name is not None
    }
    assert named <= there


def test_load_published_lengths_and_sizes_agree_with_the_protocol_of_ours():
    for result in ALL.results:
        protocol = result.protocol
        length = re.search(r'-(\d+)([ek])$', protocol.name or '')
        if length is None:
            continue
        if length[2] == 'e':
            assert protocol.epochs == int(length[1]), result
        else:
            assert protocol.iterations == int(length[1]) * 1000, result


def test_load_published_has_the_methods_and_the_references_of_detection():
    methods = {result.method for result in ALL.results}
    assert {'ummae', 'localmim', 'conmim', 'symmim', 'mae', 'simmim', 'beit'} <= methods
    assert {'vitdet', 'swin', 'vit-adapter'} <= {path.stem for path in FOLDER.glob('*.yml')}


def test_read_published_gives_each_metric_a_result(read):
    results = read(entries__entry__values={'top1': 1, 'mIoU': 2}).results
    assert [(r.metric, r.value) for r in results] == [('top1', 1.0), ('mIoU', 2.0)]


@pytest.mark.parametrize(
    ('change', 'reason'),
    [
        ({'entries__entry__source': None}, r"a\.yml: entries\.0: 'source' is a required property"),
        ({'sources__readme__place': None}, r"sources\.readme: 'place' is a required property"),
        ({'sources__readme__repository': None}, r'a\.yml: sources\.readme: .*is not valid'),
        ({'sources__readme__read_as': 'memory'}, r"read_as: 'memory' is not one of"),
        ({'entries__entry__values': {'top1': 836}}, r'values\.top1: 836 is greater than'),
        ({'entries__entry__values': {'top1': '83.6'}}, r"values\.top1: '83\.6' is not of type"),
        ({'entries__entry__values': {'top1': float('nan')}}, r'top1: nan is not a finite number'),
        ({'entries__entry__values': {'accuracy': 83.6}}, r"'accuracy' is not one of"),
        ({'entries__entry__remark': 'x'}, r"'remark' was unexpected"),
        ({'entries__entry__kind': 'ours'}, r"kind: 'ours' is not one of"),
        ({'schema_version': 2}, r'schema_version: 1 was expected'),
    ],
    ids=str,
)
def test_read_published_incomplete_entry_raises_and_names_it(read, change, reason):
    with pytest.raises(RecordError, match=reason):
        read(**change)


def test_read_published_unknown_source_raises_with_a_near_name(read):
    with pytest.raises(RecordError, match=r"entries, number 1 \(mae vit-base\): 'reame'.*'readme'"):
        read(entries__entry__source='reame')


def test_read_published_unknown_protocol_raises(read):
    with pytest.raises(RecordError, match=r"a\.yml: entries, number 1 .*'lp' is not among"):
        read(entries__entry__protocol='lp')


def test_read_published_same_fact_in_two_files_raises_whatever_its_value(read, tmp_path):
    (tmp_path / 'b.yml').write_text(FILE.replace('83.6', '83.7'))
    with pytest.raises(RecordError, match=r'b\.yml: .*the same fact stands in a\.yml: entries'):
        read()


def test_read_published_same_result_in_another_place_is_another_fact(read, tmp_path):
    (tmp_path / 'b.yml').write_text(FILE.replace('README', 'PRETRAIN.md'))
    assert len(read().results) == 2


def test_read_published_key_that_stands_twice_raises(tmp_path):
    (tmp_path / 'a.yml').write_text(FILE.replace('method: mae', 'method: mae\n    method: beit'))
    with pytest.raises(RecordError, match=r"a\.yml: cannot be read .*'method' stands twice"):
        read_published(tmp_path)


def test_read_published_code_in_a_file_is_refused(tmp_path):
    (tmp_path / 'a.yml').write_text('!!python/object/apply:os.getcwd []')
    with pytest.raises(RecordError, match=r'a\.yml: cannot be read'):
        read_published(tmp_path)


@pytest.mark.parametrize(
    ('where', 'link'),
    [
        ({'repository': 'owner/a@abc1234'}, 'https://github.com/owner/a/tree/abc1234'),
        ({'repository': 'owner/a'}, 'https://github.com/owner/a'),
        ({'arxiv': '2205.10063'}, 'https://arxiv.org/abs/2205.10063'),
        ({'url': 'https://example.org/x'}, 'https://example.org/x'),
    ],
)
def test_source_link_leads_to_the_source(where, link):
    assert PublishedSource('A', 'table 1', 'paper', **where).link == link


@pytest.mark.parametrize(
    ('ours', 'theirs', 'is_same'),
    [
        ('vit-base-p16', 'vit-base', True),
        ('beit-vit-base', 'vit-base', True),
        ('swin-large-w14', 'swin-large', True),
        ('ummae-swin-tiny', 'swin-tiny', False),
        ('vit-base', 'vit-large', False),
        ('mimdet-vit-base', 'vit-base', False),
    ],
)
def test_network_family_ignores_sizes_of_patches_and_windows(ours, theirs, is_same):
    assert (network_family(ours) == network_family(theirs)) is is_same
