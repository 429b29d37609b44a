# A linear classifier on a frozen backbone: a crop of one draw, and flip
# (facebookresearch/mae@efb2a80, main_linprobe.py, util/crop.py).
_base_ = './in1k_cls_224px.py'
train_pipeline = [
    _base_.train_pipeline[0],
    {**_base_.train_pipeline[1], 'type': 'mim_bench.SingleDrawCrop'},
    _base_.train_pipeline[2],
    dict(type='PackInputs'),
]
train_dataloader = dict(batch_size=2048, dataset=dict(pipeline=train_pipeline))
