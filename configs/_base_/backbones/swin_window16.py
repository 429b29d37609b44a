# The standard Swin-T in UM-MAE's recipes: windows of 16, and 8 in the last stage as in
# pre-training, so that the bias tables load as they are; no norm on the maps.
swin_cfg = dict(
    type='mim_bench.Swin',
    arch='tiny',
    window_size=(16, 16, 16, 8),
    out_indices=(0, 1, 2, 3),
    pad_small_map=True,
)
