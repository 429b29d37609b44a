# k-NN (k 20, temperature 0.07) and a linear probe on frozen features, extracted once.
# No source of UM-MAE that was read states a probe; this protocol is mim_bench's own.
_base_ = ['../_base_/datasets/in1k_cls_256px.py', '../_base_/default_runtime.py']
default_scope = 'mmpretrain'
model = dict(
    type='ImageClassifier',
    backbone=dict(type='mim_bench.UMMAESwin', arch='tiny', final_norm=True),
)
bank_dataloader = dict(
    batch_size=64,
    num_workers=10,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        type='ImageNet', data_root=_base_.data_root, split='train', pipeline=_base_.test_pipeline
    ),
)
test_cfg = dict(
    type='mim_bench.ProbeTestLoop',
    pooling='gap',
    probes=dict(knn=dict(k=20, temperature=0.07), linear=dict()),
    bank_dataloader=bank_dataloader,
)
val_dataloader = None
val_evaluator = None
test_evaluator = []
protocol = dict(
    name='in1k-probe',
    version='1',
    tier='full',
    tasks=[
        dict(task='in1k-knn', metrics=['knn_top1', 'knn_top5']),
        dict(task='in1k-linear', metrics=['linear_top1', 'linear_top5']),
    ],
)
