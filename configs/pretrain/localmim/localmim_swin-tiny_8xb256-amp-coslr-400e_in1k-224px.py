# LocalMIM, Swin-T, HOG: 8 GPUs x 256 images = 2048.
# Inferred: Haoqing-Wang/LocalMIM@314a6e5 has no Swin-T; everything as for Swin-B.
_base_ = './localmim_swin-base_8xb256-amp-coslr-400e_in1k-224px.py'
model = dict(backbone=dict(arch='tiny'), neck=dict(in_dims=[192, 384, 768, 768]))
