# ImageNet-1K for pre-training at 224 px with MAE's augmentation (facebookresearch/mae@efb2a80,
# main_pretrain.py): crop of 20 to 100 %, flip. A recipe adds its mask and packs it.
_base_ = './in1k_mim_256px.py'
load_and_crop = [
    dict(type='LoadImageFromFile'),
    dict(
        type='RandomResizedCrop',
        scale=224,
        crop_ratio_range=(0.2, 1.0),
        backend='pillow',
        interpolation='bicubic',
    ),
    dict(type='RandomFlip', prob=0.5),
]
train_pipeline = load_and_crop
train_dataloader = dict(dataset=dict(pipeline=load_and_crop))
