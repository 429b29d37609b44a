# COCO at one size with COCO-stuff's maps, which the stuff branch of HTC learns from.
_base_ = './coco_800px.py'
train_pipeline = [
    {**step, 'with_seg': True} if step['type'] == 'LoadAnnotations' else step
    for step in _base_.train_pipeline
]
train_dataloader = dict(
    dataset=dict(
        data_prefix=dict(img='train2017/', seg='stuffthingmaps/train2017/'),
        pipeline=train_pipeline,
    )
)
