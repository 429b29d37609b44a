import copy
import os
import re
from collections import Counter
from pathlib import Path

import pytest
import yaml

from mim_bench.errors import RecordError
from mim_bench.published.numbers import load_published, network_family, read_published
from mim_bench.suite.config_index import index_configs

ALL = load_published()
FILE = {
    'repository': 'owner/a',
    'commit': 'ab' * 20,
    'pretrain': {'in1k': {'data': 'ImageNet-1K', 'epochs': 1600, 'labels': 'none'}},
    'protocols': {'ft': {'task': 'in1k-ft', 'epochs': 100}},
    'rows': {
        'README.md': [
            {
                'method': 'mae',
                'backbone': 'vit-base',
                'pretrain': 'in1k',
                'values': {'ft': {'top1': 83.6}},
                'row': 'ViT-B | 1600 | 83.60',
            }
        ]
    },
}
ENTRY = ('rows', 'README.md', 0)


@pytest.fixture
def read(tmp_path):
    """Reads a folder with one file, of which one value is changed, added or left out (None)."""

    def run(path=(), value=None):
        data = copy.deepcopy(FILE)
        node = data
        for key in path[:-1]:
            node = node[key]
        if value is not None:
            node[path[-1]] = value
        elif path:
            del node[path[-1]]
        (tmp_path / 'a.yml').write_text(yaml.safe_dump(data, sort_keys=False))
        return read_published(tmp_path)

    return run


def test_protocols_of_ours_exist_among_the_configs():
    named = {(r.task, r.protocol.ours) for r in ALL if r.protocol.ours is not None}
    assert named
    assert named <= {(entry.task, entry.protocol) for entry in index_configs()}


def test_lengths_agree_with_the_name_of_the_protocol_of_ours():
    for result in ALL:
        if length := re.search(r'-(\d+)e$', result.protocol.ours or ''):
            assert result.protocol.epochs == int(length[1]), result


def test_has_every_row_of_the_sources():
    """The folder holds the same rows as they were read, one file a repository."""
    folder = os.environ.get('MIM_BENCH_PUBLISHED_DIR')
    if not folder:
        pytest.skip('MIM_BENCH_PUBLISHED_DIR names no folder of the rows as they were read')
    metrics = {'box AP': 'bbox_mAP', 'mask AP': 'segm_mAP', 'error rate': 'error_rate'}
    wanted = Counter()
    for path in sorted(Path(folder).glob('*.yml')):
        source = yaml.safe_load(path.read_text('utf-8'))
        for row in source['rows']:
            metric = metrics.get(row['metric'], row['metric'])
            place = (source['commit'] and str(source['commit']), row['file'])
            wanted[(row['task'], metric, float(row['value']), *place)] += 1
    assert wanted
    found = Counter((r.task, r.metric, r.value, r.commit, r.file) for r in ALL)
    assert wanted - found == Counter()


def test_labels_seen_are_stated():
    """BEiT-B's 85.2 comes after fine-tuning with labels of ImageNet-22K, its 83.7 does not."""
    seen = {
        r.value: r.pretrain.saw_labels
        for r in ALL
        if (r.repository, r.method, r.backbone) == ('microsoft/unilm', 'beit', 'vit-base-p16')
        and (r.task, r.protocol.resolution) == ('in1k-ft', 224)
    }
    assert (seen[85.2], seen[83.7]) == (True, False)


def test_peak_lr_scales_with_the_batch():
    (rate,) = {
        r.protocol.peak_lr for r in ALL if r.protocol.ours == 'in1k-ft-mae-100e'
    }  # 5e-4 for 256 images, 1,024 an update
    assert rate == pytest.approx(2e-3)


def test_read_published_gives_each_metric_a_result(read):
    results = read((*ENTRY, 'values'), {'ft': {'top1': 83.6, 'top5': 1600}})
    assert [(r.metric, r.value) for r in results] == [('top1', 83.6), ('top5', 1600.0)]


def test_read_published_default_of_a_file_says_who_measured(read):
    assert [r.by for r in read(('by',), 're-run by a')] == ['re-run by a']
    assert not read(('by',), 're-run by a')[0].is_own
    assert read()[0].is_own


@pytest.mark.parametrize(
    ('path', 'value', 'reason'),
    [
        ((*ENTRY, 'row'), None, r'a\.yml: missing: rows\.README\.md\.0 \(mae vit-base\)\.row'),
        ((*ENTRY, 'pretrain'), 'in22k', r"vit-base, row .*: 'in22k' is not defined.*Known: in1k"),
        ((*ENTRY, 'values'), {'lp': {'top1': 83.6}}, r"'lp' is not defined in the file.*Known: ft"),
        ((*ENTRY, 'values'), {'ft': {'top1': 83.7}}, r'83\.7 is not among the numbers of the row'),
        (('commit',), None, r'README.md: .*name a repository and its commit'),
        (('repository',), None, r'README.md: .*name a repository and its commit'),
    ],
    ids=str,
)
def test_read_published_broken_entry_raises_and_names_it(read, path, value, reason):
    with pytest.raises(RecordError, match=reason):
        read(path, value)


def test_read_published_paper_needs_no_repository(tmp_path):
    data = {k: v for k, v in FILE.items() if k not in ('repository', 'commit')}
    data['rows'] = {'abstract of arXiv:2111.06377': FILE['rows']['README.md']}
    (tmp_path / 'a.yml').write_text(yaml.safe_dump(data))
    (result,) = read_published(tmp_path)
    assert result.link == 'https://arxiv.org/abs/2111.06377'


def test_read_published_same_fact_twice_raises_whatever_its_value(read):
    entry = FILE['rows']['README.md'][0]
    again = entry | {'values': {'ft': {'top1': 1600}}}
    with pytest.raises(RecordError, match=r'a\.yml: README.md: mae vit-base.*stands twice'):
        read(('rows', 'README.md'), [entry, again])


@pytest.mark.parametrize(
    ('text', 'reason'),
    [
        ('repository: a/b\nrepository: a/c', r"cannot be read .*'repository' stands twice"),
        ('!!python/object/apply:os.getcwd []', 'cannot be read'),
        ('- 1', r'a\.yml: top level: input should be an object'),
    ],
)
def test_read_published_what_is_no_such_file_raises(tmp_path, text, reason):
    (tmp_path / 'a.yml').write_text(text)
    with pytest.raises(RecordError, match=reason):
        read_published(tmp_path)


def test_result_label_and_link_lead_to_the_file(read):
    (result,) = read()
    assert result.label == 'owner/a@abababa, README.md'
    assert result.link == f'https://github.com/owner/a/blob/{"ab" * 20}/README.md'


@pytest.mark.parametrize(
    ('ours', 'theirs', 'is_same'),
    [
        ('vit-base-p16', 'vit-base', True),
        ('beit-vit-base', 'vit-base-p16', True),
        ('swin-large-w14', 'swin-large', True),
        ('vit-small-p8', 'vit-small-p16', False),
        ('ummae-swin-tiny', 'swin-tiny', False),
        ('vit-base', 'vit-large', False),
        ('mimdet-vit-base', 'vit-base', False),
    ],
)
def test_network_family_ignores_windows_and_the_common_patch(ours, theirs, is_same):
    assert (network_family(ours) == network_family(theirs)) is is_same
