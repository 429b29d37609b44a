# ViT-B as ViTDet has it: windows of 14 with four global blocks. Own variant: no decomposed relative
# positions, windows at the border hold no padding, and the last block's norm is left out.
vitdet_cfg = dict(
    type='mim_bench.ViT',
    arch='base',
    img_size=1024,
    final_norm=False,
    window_size=14,
    global_blocks=(2, 5, 8, 11),
    drop_path_rate=0.1,
)
