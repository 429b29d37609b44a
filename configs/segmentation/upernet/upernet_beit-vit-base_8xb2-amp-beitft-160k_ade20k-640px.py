# UPerNet at 640 px on BEiT-B that was fine-tuned on ImageNet after pre-training
# (microsoft/unilm@768a3c8, beit/semantic_segmentation/configs/beit/upernet/
# upernet_beit_base_12_640_slide_160k_ade20k_pt2ft.py): crops of 640 from images whose short side is
# about 640; windows slide by 426.
_base_ = [
    '../../_base_/models/upernet.py',
    '../../_base_/datasets/ade20k_512px.py',
    '../../_base_/schedules/adamw_poly_160k.py',
    '../../_base_/backbones/beit_vit.py',
    '../../_base_/default_runtime.py',
]
default_scope = 'mmseg'
crop_size = (640, 640)
image_size = (2560, 640)
base_lr = 3e-5
model = dict(
    data_preprocessor={**_base_.data_preprocessor, 'size': crop_size},
    backbone=dict(
        **_base_.backbone_cfg,
        img_size=640,
        out_indices=(3, 5, 7, 11),
        final_norm=False,
        drop_path_rate=0.1,
    ),
    neck=dict(type='mim_bench.ViTPyramid', embed_dims=768),
    test_cfg=dict(crop_size=crop_size, stride=(426, 426)),
)
data_preprocessor = dict(size=crop_size)
changes_cfg = dict(
    RandomResize=dict(scale=image_size),
    RandomCrop=dict(crop_size=crop_size),
    Resize=dict(scale=image_size),
)
train_pipeline = [{**step, **changes_cfg.get(step.type, {})} for step in _base_.train_pipeline]
test_pipeline = [{**step, **changes_cfg.get(step.type, {})} for step in _base_.test_pipeline]
tta_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(
        type='TestTimeAug',
        transforms=[
            [
                dict(type='ResizeShortestEdge', scale=max(640, int(640 * ratio)), max_size=100000)
                for ratio in _base_.tta_ratios_cfg
            ],
            *_base_.tta_steps_cfg,
        ],
    ),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
optim_wrapper = dict(optimizer=dict(lr=base_lr), paramwise_cfg=dict(layer_decay_rate=0.9))
default_hooks = dict(checkpoint=dict(by_epoch=False, interval=16000))
protocol = dict(
    task='ade20k-upernet',
    name='ade20k-upernet-beitft-160k-640px-base',
    version='1',
    tier='full',
)
