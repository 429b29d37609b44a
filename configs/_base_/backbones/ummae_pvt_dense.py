# UM-MAE's PVT-S for detection, with the drop path of UM-MAE's repository. Position tables are made
# for 1024 px.
ummae_pvt_cfg = dict(
    type='mim_bench.UMMAEPvt',
    arch='small',
    img_size=1024,
    out_indices=(0, 1, 2, 3),
    drop_path_rate=0.1,
)
pvt_dims = [64, 128, 320, 512]
