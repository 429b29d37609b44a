# LocalMIM, Swin-B, normalised pixels (Haoqing-Wang/LocalMIM@314a6e5, README): 8 GPUs x 256
# images = 2048.
_base_ = './localmim_swin-base_8xb256-amp-coslr-400e_in1k-224px.py'
model = dict(
    neck=dict(out_dims=[192, 768, 3072, 3072]),
    head=dict(target='pixel', norm_pix=True, hog_bias=False),
)
protocol = dict(name='pretrain-localmim-pixel-400e')
