# The same at 256 px, the whole image.
_base_ = './in1k_probe_224px.py'
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='ResizeEdge', scale=256, edge='short', backend='pillow', interpolation='bicubic'),
    dict(type='CenterCrop', crop_size=256),
    dict(type='PackInputs'),
]
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
bank_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_cfg = dict(bank_dataloader=bank_dataloader)
