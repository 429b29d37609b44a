# LocalMIM, ViT-B, normalised pixels: 8 GPUs x 256 images = 2048.
# Inferred: the paper's variant is not in Haoqing-Wang/LocalMIM@314a6e5; the schedule is ViT-B's,
# the patches of 4, 8, 16 and 32 px fit its grids, and they are normalised as Swin's are.
_base_ = './localmim_vit-base_8xb256-amp-coslr-1600e_in1k-224px.py'
model = dict(
    neck=dict(out_dims=[48, 192, 768, 3072]),
    head=dict(target='pixel', norm_pix=True),
)
protocol = dict(name='pretrain-localmim-pixel-1600e')
