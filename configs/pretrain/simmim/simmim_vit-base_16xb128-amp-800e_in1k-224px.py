# SimMIM, ViT-B with one table of relative positions (microsoft/SimMIM@d3e29bc,
# configs/vit_base__800ep/simmim_pretrain__vit_base__img224__800ep.yaml): 16 GPUs x 128 = 2048.
_base_ = './simmim_swin-base_16xb128-amp-800e_in1k-192px.py'
model = dict(
    backbone=dict(
        _delete_=True,
        type='mim_bench.SimMIMViT',
        arch='base',
        img_size=224,
        patch_size=16,
        layer_scale_init_value=0.1,
        drop_path_rate=0.1,
    ),
    neck=dict(in_channels=768, encoder_stride=16),
    head=dict(patch_size=16),
)
load_and_crop = [
    {**step, 'scale': 224} if step['type'] == 'RandomResizedCrop' else step
    for step in _base_.load_and_crop
]
train_pipeline = [
    *load_and_crop,
    dict(
        type='SimMIMMaskGenerator',
        input_size=224,
        mask_patch_size=32,
        model_patch_size=16,
        mask_ratio=0.6,
    ),
    dict(type='PackInputs'),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
# The reverse of the Swin: the class token is not decayed, the mask token is (optimizer.py).
optim_wrapper = dict(
    paramwise_cfg=dict(custom_keys=dict(_delete_=True, cls_token=dict(decay_mult=0.0)))
)
