# BEiT at 640 px: crops of 640 from images whose short side is about 640; windows slide by 426.
_base_ = './upernet_beit_512px.py'
crop_size = (640, 640)
data_preprocessor = dict(size=crop_size)
model = dict(
    data_preprocessor=dict(size=crop_size),
    backbone=dict(img_size=640),
    test_cfg=dict(crop_size=crop_size, stride=(426, 426)),
)
image_size = (2560, 640)
changes_cfg = dict(
    RandomResize=dict(scale=image_size),
    RandomCrop=dict(crop_size=crop_size),
    Resize=dict(scale=image_size),
)
train_pipeline = [{**step, **changes_cfg.get(step.type, {})} for step in _base_.train_pipeline]
test_pipeline = [{**step, **changes_cfg.get(step.type, {})} for step in _base_.test_pipeline]
tta_pipeline = [
    _base_.tta_pipeline[0],
    dict(
        type='TestTimeAug',
        transforms=[
            [
                dict(type='ResizeShortestEdge', scale=max(640, int(640 * ratio)), max_size=100000)
                for ratio in (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)
            ],
            *_base_.tta_pipeline[1].transforms[1:],
        ],
    ),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
