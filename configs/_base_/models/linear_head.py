# A linear decoder of mmsegmentation: one 1x1 convolution on the maps side by side, resized to the
# first.
linear_head_cfg = dict(
    type='FCNHead',
    in_channels='widths',
    input_transform='resize_concat',
    channels='sum(widths)',
    num_convs=0,
    concat_input=False,
    dropout_ratio=0.0,
    align_corners=False,
    loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0),
)
