# A linear probe for segmentation, this project's own (inferred; none of the methods states one): a
# frozen backbone, batch norm, and one 1x1 convolution. Data, test and shape of the schedule are
# those of UPerNet.
_base_ = [
    '../datasets/ade20k_512px.py',
    '../schedules/adamw_poly_40k.py',
    '../default_runtime.py',
]
default_scope = 'mmseg'
model = dict(
    type='EncoderDecoder',
    data_preprocessor=_base_.data_preprocessor,
    neck=dict(type='mim_bench.MapBatchNorm'),
    decode_head=dict(
        type='FCNHead',
        num_convs=0,
        concat_input=False,
        dropout_ratio=0.0,
        num_classes=150,
        align_corners=False,
        loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0),
    ),
    train_cfg=dict(),
    test_cfg=dict(mode='slide', crop_size=(512, 512), stride=(341, 341)),
)
default_hooks = dict(checkpoint=dict(by_epoch=False, interval=10000))
protocol = dict(task='ade20k-linear', name='ade20k-linear-own-40k', version='1', tier='full')
