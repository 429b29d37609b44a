# The same at 256 px, the whole image in testing, as in fine-tuning at that size.
_base_ = './in1k_cls_256px.py'
train_pipeline = [
    _base_.train_pipeline[0],
    {**_base_.train_pipeline[1], 'type': 'mim_bench.SingleDrawCrop'},
    _base_.train_pipeline[2],
    dict(type='PackInputs'),
]
train_dataloader = dict(batch_size=2048, dataset=dict(pipeline=train_pipeline))
