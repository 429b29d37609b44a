# k-NN and linear probe on the embedded digits.
_base_ = './in1k_probe.py'
data_root = 'data/toy/imagenet/'
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='ResizeEdge', scale=64, edge='short', backend='pillow', interpolation='bicubic'),
    dict(type='CenterCrop', crop_size=64),
    dict(type='PackInputs'),
]
dataset = dict(type='CustomDataset', data_root=data_root, pipeline=test_pipeline)
loader = dict(num_workers=0, persistent_workers=False)
test_dataloader = dict(**loader, dataset=dict(_delete_=True, **dataset, data_prefix='val'))
bank_dataloader = dict(**loader, dataset=dict(_delete_=True, **dataset, data_prefix='train'))
test_cfg = dict(bank_dataloader=bank_dataloader, probes=dict(linear=dict(batch_size=256)))
protocol = dict(
    name='toy-probe',
    tier='smoke',
    by_backbone=dict(
        ViT={'model.backbone.img_size': 64},
        UMMAESwin={'model.backbone.window_size': 8},
        UMMAEPvt={'model.backbone.img_size': 64},
    ),
)
