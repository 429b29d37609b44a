# Patch retrieval on the embedded scenes: the photograph and ten digits.
_base_ = './ade20k_knn.py'
data_root = 'data/toy/ade/ADEChallengeData2016/'
num_classes = 11
metainfo = dict(
    classes=[
        'photograph', 'zero', 'one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight', 'nine'
    ],
    palette=[
        [40, 40, 40], [230, 25, 75], [60, 180, 75], [255, 225, 25], [0, 130, 200], [245, 130, 48],
        [145, 30, 180], [70, 240, 240], [240, 50, 230], [210, 245, 60], [250, 190, 212],
    ],
)  # fmt: skip
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
# The layout is ADE20K's, the classes are not.
dataset = dict(
    type='BaseSegDataset',
    data_root=data_root,
    metainfo=metainfo,
    reduce_zero_label=True,
    img_suffix='.jpg',
    seg_map_suffix='.png',
)
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
