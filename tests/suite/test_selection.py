import pytest

from mim_bench.errors import ConfigError
from mim_bench.suite.selection import choose_entries, missing_tasks, parse_tasks, start_of
from mim_bench.suite.tasks import load_suite

FULL, PROXY, SMOKE = (load_suite(name) for name in ('full', 'proxy', 'smoke'))


def names(suite, backbone, tasks):
    wanted = parse_tasks(tasks, suite) if tasks else None
    return [entry.name for entry in choose_entries(suite, backbone, wanted, 'it')]


@pytest.mark.parametrize(
    ('backbone', 'recipe'),
    [
        ('vit-base', 'mae-100e'),
        ('vit-large', 'mae-50e'),
        ('beit-vit-base', 'beit-100e'),
        ('swin-base', 'simmim-100e'),
        ('ummae-swin-tiny', 'ummae-100e'),
        ('ummae-pvt-small', 'ummae-100e'),
    ],
)
def test_choose_entries_fine_tuning_by_default_is_that_of_the_family(backbone, recipe):
    assert names(FULL, backbone, 'in1k-ft') == [f'in1k-ft-{recipe}']


def test_choose_entries_names_another_recipe_by_its_first_word():
    assert names(FULL, 'vit-base', 'in1k-ft=ummae') == ['in1k-ft-ummae-100e']
    assert names(FULL, 'vit-large', 'in1k-ft=localmim') == ['in1k-ft-localmim-50e']


def test_choose_entries_of_one_word_and_several_lengths_the_whole_recipe_decides():
    tasks = 'coco-mask-rcnn=benchvit-25e'
    assert names(FULL, 'vit-base', tasks) == ['coco-mask-rcnn-benchvit-25e']
    assert names(FULL, 'vit-base', 'coco-mask-rcnn=benchvit') == ['coco-mask-rcnn-benchvit-100e']


@pytest.mark.parametrize('tasks', ['in1k-knn,in1k-linear', 'in1k-linear,in1k-knn', 'in1k-knn'])
def test_choose_entries_one_probe_gives_both_of_its_tasks(tasks):
    assert names(PROXY, 'vit-base', tasks) == ['proxy-in1k-probe']


def test_choose_entries_full_linear_is_trained_and_the_probe_is_a_recipe_of_it():
    assert names(FULL, 'vit-base', 'in1k-linear') == ['in1k-linear-mae-90e']
    assert names(FULL, 'vit-base', 'in1k-linear=probe') == ['in1k-probe']


def test_choose_entries_adds_the_fine_tuning_that_a_task_starts_from_before_it():
    chosen = names(FULL, 'ummae-swin-tiny', 'ade20k-upernet,in1k-knn')
    assert chosen.index('in1k-ft-ummae-100e') < chosen.index('ade20k-upernet-ummae-160k')
    assert 'in1k-probe' in chosen


def test_choose_entries_fine_tuning_of_the_same_recipe_is_what_a_task_starts_from():
    assert names(FULL, 'ummae-swin-tiny', 'ade20k-upernet=ummae') == [
        'in1k-ft-ummae-100e',
        'ade20k-upernet-ummae-160k',
    ]


def test_choose_entries_chosen_fine_tuning_is_what_a_task_starts_from():
    assert names(FULL, 'beit-vit-base', 'ade20k-upernet=beitft,in1k-ft=simmim') == [
        'in1k-ft-simmim-100e',
        'ade20k-upernet-beitft-160k-640px',
    ]


def test_choose_entries_without_tasks_takes_all_that_the_backbone_has():
    chosen = names(FULL, 'vit-small', '')
    assert chosen == [
        'in1k-probe',
        'in1k-ft-mae-100e',
    ]
    assert 'coco-htc-plus' in missing_tasks(FULL, 'vit-small')


@pytest.mark.parametrize('suite', [FULL, PROXY, SMOKE], ids=lambda suite: suite.name)
def test_start_of_every_entry_is_there_for_every_backbone(suite):
    for entry in suite.entries:
        for backbone in entry.configs:
            start = start_of(entry, suite, backbone, {}, 'it')
            assert (start is None) == (entry.start == 'pretrained')
            assert start is None or backbone in start.configs


def test_choose_entries_backbone_without_a_config_lists_those_there_are():
    with pytest.raises(
        ConfigError, match=r'x\.pth: .*no config of coco-gfl for the backbone vit-b'
    ):
        choose_entries(FULL, 'vit-base', {'coco-gfl': ''}, 'x.pth')


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('in1k-kn', "no task 'in1k-kn'. Did you mean 'in1k-knn'"),
        ('in1k-ft,in1k-ft=mae', 'in1k-ft is named twice'),
        ('in1k-ft=mea', "no recipe 'mea'"),
        (',', 'names no task'),
    ],
)
def test_parse_tasks_wrong_words_raise(text, message):
    with pytest.raises(ConfigError, match=message):
        parse_tasks(text, FULL)
