import pytest
import yaml

from mim_bench.report.hub import render_model_index
from mim_bench.testing.records import make_checkpoint, make_protocol, make_record

hub = pytest.importorskip('huggingface_hub.repocard_data')


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
