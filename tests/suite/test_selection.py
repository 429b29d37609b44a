import pytest

from mim_bench.architectures import FAMILIES
from mim_bench.errors import ConfigError
from mim_bench.suite.selection import choose_entries, missing_tasks, parse_tasks, start_entry
from mim_bench.suite.tasks import Network, load_suite, network_named

FULL, PROXY, SMOKE = (load_suite(name) for name in ('full', 'proxy', 'smoke'))


def names(suite, backbone, tasks):
    wanted = parse_tasks(tasks, suite) if tasks else None
    return [entry.name for entry in choose_entries(suite, network_named(backbone), wanted, 'it')]


@pytest.mark.parametrize('family', FAMILIES)
@pytest.mark.parametrize('task', ['in1k-ft', 'ade20k-upernet', 'coco-mask-rcnn', 'coco-htc-plus'])
def test_choose_entries_by_default_takes_the_common_protocol_for_every_family(family, task):
    # A size without a name, too.
    (entry,) = choose_entries(FULL, Network(None, family), {task: ''}, 'it')
    assert entry.name == f'{task}-common'


def test_choose_entries_names_another_recipe_by_its_first_word():
    assert names(FULL, 'vit-base', 'in1k-ft=ummae') == ['in1k-ft-ummae-100e-vit-base']
    assert names(FULL, 'vit-large', 'in1k-ft=localmim') == ['in1k-ft-localmim-50e']


def test_choose_entries_of_one_word_and_several_lengths_the_whole_recipe_decides():
    tasks = 'coco-mask-rcnn=benchvit-50e'
    assert names(FULL, 'vit-base', tasks) == ['coco-mask-rcnn-benchvit-50e']
    assert names(FULL, 'vit-base', 'coco-mask-rcnn=benchvit') == ['coco-mask-rcnn-benchvit-100e']


@pytest.mark.parametrize('tasks', ['in1k-knn,in1k-linear', 'in1k-linear,in1k-knn', 'in1k-knn'])
def test_choose_entries_one_probe_gives_both_of_its_tasks(tasks):
    assert names(PROXY, 'vit-base', tasks) == ['proxy-in1k-probe']


def test_choose_entries_linear_is_the_probe_and_mae_s_a_recipe_of_it():
    assert names(FULL, 'vit-base', 'in1k-linear') == ['in1k-probe']
    assert names(FULL, 'vit-base', 'in1k-linear=mae') == ['in1k-linear-mae-90e']


def test_choose_entries_adds_the_fine_tuning_that_a_task_starts_from_before_it():
    chosen = names(SMOKE, 'swin-toy', 'ade20k-upernet,in1k-knn')
    assert chosen.index('toy-ft') < chosen.index('toy-upernet')
    assert 'toy-probe' in chosen


def test_choose_entries_follows_starts_to_the_pretrained_file():
    ft, upernet = (
        next(entry for entry in SMOKE.entries if entry.name == name)
        for name in ('toy-ft', 'toy-upernet')
    )
    last = upernet.model_copy(
        update=dict(name='last', tasks={'last': ('mIoU',)}, start='ade20k-upernet')
    )
    suite = SMOKE.model_copy(
        update=dict(entries=(last, *SMOKE.entries), tasks=('last', *SMOKE.tasks))
    )
    assert names(suite, 'swin-toy', 'last') == ['toy-ft', 'toy-upernet', 'last']
    circle = ft.model_copy(update=dict(start='last'))
    suite = suite.model_copy(update=dict(entries=(last, upernet, circle)))
    with pytest.raises(ConfigError, match='last, toy-upernet, toy-ft start from each other'):
        names(suite, 'swin-toy', 'last')


def test_choose_entries_fine_tuning_of_the_same_recipe_is_what_a_task_starts_from():
    assert names(FULL, 'ummae-swin-tiny', 'ade20k-upernet=ummae') == [
        'in1k-ft-ummae-100e-pyramid',
        'ade20k-upernet-ummae-160k-ummae-swin-tiny',
    ]


def test_choose_entries_chosen_fine_tuning_is_what_a_task_starts_from():
    assert names(FULL, 'beit-vit-base', 'ade20k-upernet=beitft,in1k-ft=simmim') == [
        'in1k-ft-simmim-100e-beit-vit-base',
        'ade20k-upernet-beitft-160k-640px-base',
    ]


def test_choose_entries_without_tasks_takes_the_common_protocols_and_what_else_there_is():
    chosen = names(FULL, 'vit-small', '')
    assert {'in1k-probe', 'in1k-ft-common'} <= set(chosen)
    without = {'coco-cascade-mask-rcnn', 'coco-gfl', 'coco-htc', 'coco-htc-no-stuff'}
    assert set(missing_tasks(FULL, network_named('vit-small'))) == without


@pytest.mark.parametrize('suite', [FULL, PROXY, SMOKE], ids=lambda suite: suite.name)
def test_start_of_every_entry_is_there_for_every_backbone(suite):
    for entry in suite.entries:
        for word in entry.configs:
            network = Network(None, word) if entry.fit else network_named(word)
            start = start_entry(entry, suite, network, {}, 'it')
            assert (start is None) == (entry.start == 'pretrained')
            assert start is None or start.config_of(network)


def test_choose_entries_backbone_without_a_config_lists_those_there_are():
    with pytest.raises(
        ConfigError, match=r'x\.pth: .*no config of coco-gfl for the backbone vit-b'
    ):
        choose_entries(FULL, network_named('vit-base'), {'coco-gfl': ''}, 'x.pth')


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
