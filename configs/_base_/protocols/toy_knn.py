# Patch retrieval on the embedded scenes: the photograph and ten digits.
_base_ = ['./ade20k_knn.py', './toy_dense.py']
data_root = 'data/toy/ade/ADEChallengeData2016/'
num_classes = 11
model = dict(data_preprocessor=dict(size=(128, 128)), decode_head=dict(num_classes=num_classes))
bank_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', reduce_zero_label=True),
    dict(type='Resize', scale=(128, 128), keep_ratio=False),
    dict(type='PackSegInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(128, 128), keep_ratio=False),
    dict(type='LoadAnnotations', reduce_zero_label=True),
    dict(type='PackSegInputs'),
]
loader = dict(num_workers=0, persistent_workers=False)
dataset = dict(data_root=data_root, **_base_.toy_scenes_cfg)
test_dataloader = dict(**loader, dataset=dict(**dataset, pipeline=test_pipeline))
bank_dataloader = dict(**loader, dataset=dict(**dataset, pipeline=bank_pipeline))
data_preprocessor = dict(size=(128, 128))
test_cfg = dict(bank_dataloader=bank_dataloader, num_patches=10000)
protocol = dict(
    name='toy-knn',
    tier='smoke',
    by_backbone={
        '_delete_': True,
        'plain': {'model.backbone.img_size': 128, 'model.backbone.out_indices': ['1']},
        'pyramid': {'model.backbone.out_indices': [1, 2]},
        'ViT': {'model.backbone.final_norm': 'checkpoint'},
        'Swin': {'model.backbone.pad_small_map': True},
        'UMMAESwin': {
            'model.backbone.final_norm': 'checkpoint',
            'model.backbone.window_size': 8,
        },
        'UMMAEPvt': {'model.backbone.final_norm': 'checkpoint', 'model.backbone.img_size': 128},
    },
)
