# k-NN (k 20, temperature 0.07) and a linear probe on frozen features, extracted once from resized
# and cropped images. No source of the methods states such a probe; the protocol is mim_bench's own.
_base_ = './in1k_cls_224px.py'
train_dataloader = None
val_dataloader = None
val_evaluator = None
test_evaluator = []
bank_dataloader = dict(
    batch_size=64,
    num_workers='auto',
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        type='ImageNet', data_root=_base_.data_root, split='train', pipeline=_base_.test_pipeline
    ),
)
# The average of the last map for every backbone, whether it has a class token or not.
test_cfg = dict(
    type='mim_bench.ProbeTestLoop',
    pooling='gap',
    probes=dict(knn=dict(k=20, temperature=0.07), linear=dict()),
    bank_dataloader=bank_dataloader,
)
protocol = dict(
    name='in1k-probe',
    version='1',
    tier='full',
    tasks=[
        dict(task='in1k-knn', metrics=['knn_top1', 'knn_top5']),
        dict(task='in1k-linear', metrics=['linear_top1', 'linear_top5']),
    ],
)
