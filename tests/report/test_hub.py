import pytest
import yaml

from mim_bench.report.formats import hub_files, render_model_index
from mim_bench.testing.records import make_checkpoint, make_protocol, make_record

hub = pytest.importorskip('huggingface_hub.repocard_data')
from huggingface_hub import (  # noqa: E402 - skipped above where it is missing
    ModelCard,
    eval_result_entries_to_yaml,
    parse_eval_result_entries,
)


def read(text):
    return yaml.safe_load(text)['model-index']


def test_render_model_index_one_entry_a_checkpoint_with_its_numbers(board_of):
    board = board_of(
        make_record('in1k-ft', {'top1': 81.23456}),
        make_record('coco-mask-rcnn', {'bbox_mAP': 47.1, 'segm_mAP': 42.3}),
    )
    (model,) = read(render_model_index(board))
    assert model['name'] == 'swin-tiny.ummae-10e'
    first, second = model['results']
    assert first == {
        'task': {'type': 'image-classification', 'name': 'Fine-tuning'},
        'dataset': {'type': 'imagenet-1k', 'name': 'ImageNet-1K', 'split': 'validation'},
        'metrics': [
            {
                'type': 'accuracy',
                'value': 81.2346,
                'name': 'Fine-tune top-1 (%)',
                'args': {
                    'protocol': 'in1k-ft',
                    'protocol_version': '1',
                    'protocol_hash': make_protocol('in1k-ft').hash,
                    'seeds': [0],
                },
            }
        ],
    }
    assert [(m['type'], m['value']) for m in second['metrics']] == [
        ('box_ap', 47.1),
        ('mask_ap', 42.3),
    ]


def test_render_model_index_is_read_by_the_hub_library(board_of):
    board = board_of(make_record('ade20k-upernet', {'mIoU': 48.1}))
    text = render_model_index(board, 'https://example.org/board')
    name, (result,) = hub.model_index_to_eval_results(read(text))
    assert name == 'swin-tiny.ummae-10e'
    assert (result.task_type, result.dataset_type) == ('image-segmentation', 'scene_parse_150')
    assert (result.metric_type, result.metric_value) == ('mean_iou', 48.1)
    assert (result.source_name, result.source_url) == ('mim_bench', 'https://example.org/board')


@pytest.mark.parametrize('tier', ['smoke', 'proxy'])
def test_render_model_index_tiers_below_full_are_left_out(board_of, tier):
    assert read(render_model_index(board_of(make_record(protocol=make_protocol(tier=tier))))) == []


def test_render_model_index_failed_runs_are_left_out(board_of):
    assert read(render_model_index(board_of(make_record(error='boom')))) == []


def test_render_model_index_hostile_names_stay_text(board_of):
    names = ['<img src=x onerror=alert(1)>', '=HYPERLINK("x")', '- a: &b *c', 'モデル\n---\nx: y']
    records = [
        make_record(checkpoint=make_checkpoint(id=name), run_id=f'r{i}')
        for i, name in enumerate(names)
    ]
    found = {model['name'] for model in read(render_model_index(board_of(*records)))}
    assert found == {*names[:3], 'モデル --- x: y'}


def test_hub_files_are_read_by_the_hub_library(board_of):
    board = board_of(
        make_record('in1k-ft', {'top1': 81.23456}),
        make_record('my-task', {'score': 1.0}, run_id='own'),
        make_record('ade20k-upernet', {'mIoU': 48.1}, run_id='seg'),
    )
    files = hub_files(board, 'https://example.org/board')
    hashes = {task: make_protocol(task).hash for task in ('in1k-ft', 'ade20k-upernet')}
    folder = 'swin-tiny.ummae-10e'
    assert set(files) == {
        f'{folder}/README.md',
        *(f'{folder}/.eval_results/{task}.{digest}.yaml' for task, digest in hashes.items()),
    }
    card = ModelCard(files[f'{folder}/README.md'])
    assert card.data.model_name == folder
    assert [result.metric_value for result in card.data.eval_results] == [81.2346, 48.1, 1.0]
    data = yaml.safe_load(files[f'{folder}/.eval_results/in1k-ft.{hashes["in1k-ft"]}.yaml'])
    (entry,) = parse_eval_result_entries(data)
    assert (entry.dataset_id, entry.task_id, entry.value) == (
        'ILSVRC/imagenet-1k', 'in1k_ft_top1', 81.2346,
    )  # fmt: skip
    assert entry.source_url == 'https://example.org/board'
    # What the library writes of the entry is what stands in the file.
    assert eval_result_entries_to_yaml([entry]) == data


def test_render_model_index_test_sets_of_robustness_are_of_classification(board_of):
    ((model,),) = [read(render_model_index(board_of(make_record('imagenet-a-knn'))))]
    (result,) = model['results']
    assert result['task']['type'] == 'image-classification'
    assert result['dataset'] == {
        'type': 'imagenet-a', 'name': 'ImageNet-A', 'split': 'validation',
    }  # fmt: skip


def test_hub_files_of_similar_or_long_names_have_folders_of_their_own(board_of):
    names = ['a/b', 'a b', 'a-b', 'A-b', 'x' * 300, f'{"x" * 299}y', 'モデル', 'plain']
    records = [
        make_record('in1k-ft', {'top1': 50.0 + i}, make_checkpoint(id=name), run_id=f'r{i}')
        for i, name in enumerate(names)
    ]
    folders = {path.partition('/')[0].lower() for path in hub_files(board_of(*records))}
    assert len(folders) == len(names)
    assert 'plain' in folders
    assert max(map(len, folders)) <= 96


def test_hub_files_of_a_hostile_task_stay_inside_the_folder(board_of):
    for path in hub_files(board_of(make_record('in1k-/../../../x', {'top1': 50.0}, run_id='r'))):
        assert '..' not in path.split('/')


def test_hub_files_hostile_names_stay_inside_the_folder(board_of):
    records = [
        make_record(checkpoint=make_checkpoint(id=name), run_id=f'r{i}')
        for i, name in enumerate(['../../etc', '..', '/abs', 'a\nb: c'])
    ]
    for path in hub_files(board_of(*records)):
        assert not path.startswith(('/', '.'))
        assert '..' not in path.split('/')
