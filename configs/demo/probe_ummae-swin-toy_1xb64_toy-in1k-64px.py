# k-NN and linear probe on the embedded digits, on the average of the last stage.
_base_ = '../classification/probe_ummae-swin-tiny_8xb64_in1k-256px.py'
data_root = 'data/toy/imagenet/'
arch = dict(_delete_=True, embed_dims=32, depths=(1, 1, 2), num_heads=(1, 2, 4), posmlp_dims=16)
model = dict(backbone=dict(arch=arch, window_size=8, out_indices=(2,)))
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
train_dataloader = None
protocol = dict(name='toy-probe', tier='smoke')
