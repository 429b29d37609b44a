# What the demos of dense tasks share: three maps at 4, 8 and 16 px, projected to 48 channels.
toy_taps_cfg = dict(plain=['1/2', '3/4', '1'], pyramid=[0, 1, 2])
toy_rescaling_cfg = dict(
    type='mim_bench.ViTPyramid',
    embed_dims='widths[-1]',
    in_stride='strides[-1]',
    strides=(4, 8, 16),
    norm_cfg=dict(type='GN', num_groups=16),
)
toy_projection_cfg = dict(type='mim_bench.StageProjection', in_channels='widths', out_channels=48)
toy_fpn_cfg = dict(type='FPN', in_channels=[48] * 3, out_channels=48, num_outs=4)
toy_families_cfg = {
    'ViT': {'model.backbone.img_size': 128, 'model.backbone.final_norm': False},
    'CapiViT': {'model.backbone.final_norm': False},
    'MixMIMEncoder': {'model.backbone.final_norm': False},
    'TimmBackbone': {'model.backbone.final_norm': False},
    'Swin': {'model.backbone.pad_small_map': True},
    'UMMAESwin': {'model.backbone.window_size': 8},
    'UMMAEPvt': {'model.backbone.img_size': 128},
}
# Boxes and masks are of the ten digits.
toy_digits_cfg = dict(
    classes=['zero', 'one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight', 'nine']
)
# Label maps, of the photograph too: the layout is ADE20K's, the classes are not.
toy_scenes_cfg = dict(
    type='BaseSegDataset',
    metainfo=dict(
        classes=['photograph', *toy_digits_cfg['classes']],
        palette=[
            [40, 40, 40], [230, 25, 75], [60, 180, 75], [255, 225, 25], [0, 130, 200],
            [245, 130, 48], [145, 30, 180], [70, 240, 240], [240, 50, 230], [210, 245, 60],
            [250, 190, 212],
        ],
    ),
    reduce_zero_label=True,
    img_suffix='.jpg',
    seg_map_suffix='.png',
)  # fmt: skip
