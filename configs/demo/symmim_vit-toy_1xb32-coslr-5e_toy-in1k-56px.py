# SymMIM on the embedded digits with the boards of 224 px: 14x14 patches and 7x7 large cells, an odd
# number, so that the anchors 'corner' and 'center' differ. See tools/compare_symmim_anchors.sh.
_base_ = './symmim_vit-toy_1xb32-coslr-5e_toy-in1k-64px.py'
model = dict(backbone=dict(img_size=56, patch_size=4), head=dict(patch_size=4))
load_and_crop = [_base_.load_and_crop[0], {**_base_.load_and_crop[1], 'scale': 56}]
train_pipeline = [
    *load_and_crop,
    dict(
        type='mim_bench.CheckerboardMasks',
        input_size=56,
        patch_size=4,
        small_cell=4,
        large_cell=8,
        anchor='corner',
    ),
    dict(type='PackInputs', algorithm_keys=['mask', 'momentum_mask']),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
