# The same without the stuff branch.
_base_ = './htc-plus_swin-toy_1xb4-300i_toy-coco-128px.py'
model = dict(
    data_preprocessor=dict(pad_seg=False),
    roi_head=dict(semantic_roi_extractor=None, semantic_head=None),
)
train_pipeline = [
    {**step, 'with_seg': False} if step['type'] == 'LoadAnnotations' else step
    for step in _base_.train_pipeline
]
train_dataloader = dict(
    dataset=dict(data_prefix=dict(_delete_=True, img='train2017/'), pipeline=train_pipeline)
)
protocol = dict(name='toy-htc-plus-no-stuff')
