# UM-MAE's Swin-T in recipes of the standard Swin, with the drop path that UM-MAE's repository uses
# for detection. Its maps get the norms that the standard Swin has inside of the backbone.
ummae_swin_cfg = dict(
    type='mim_bench.UMMAESwin', arch='tiny', out_indices=(0, 1, 2, 3), drop_path_rate=0.1
)
stage_norm_cfg = dict(type='mim_bench.StageNorm', in_channels=[96, 192, 384, 768])
