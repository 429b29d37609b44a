# The standard Swin-T under a pyramid: windows of 7, a norm on each map. Drop path 0.2 is that of
# Swin-T and Swin-S in Swin's detectors of 36 epochs.
swin_cfg = dict(
    type='mim_bench.Swin',
    arch='tiny',
    out_indices=(0, 1, 2, 3),
    out_norms=True,
    pad_small_map=True,
    drop_path_rate=0.2,
)
