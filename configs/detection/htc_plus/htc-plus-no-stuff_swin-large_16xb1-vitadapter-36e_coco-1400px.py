# The same without the stuff branch, for COCO without COCO-stuff's maps (no source has it).
_base_ = './htc-plus_swin-large_16xb1-vitadapter-36e_coco-1400px.py'
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
protocol = dict(name='coco-htc-plus-vitadapter-36e-no-stuff')
