# The standard Swin-T in Swin's own recipes of segmentation and detection: windows of 7, a norm on
# each map. A drop path of 0.2 is what Swin's paper and code use for detection with this size.
swin_cfg = dict(
    type='mim_bench.Swin',
    arch='tiny',
    out_indices=(0, 1, 2, 3),
    out_norms=True,
    pad_small_map=True,
    drop_path_rate=0.2,
)
