# CAE's UPerNet for ViT-B pre-trained for 1,600 epochs (Atten4Vis/CAE@a7fd162, downstream_tasks/
# semantic_segmentation/configs_local/cae/upernet/
# upernet_cae_base_12_512_slide_160k_ade20k_pt_1e-4.py and backbone/cae.py): fixed sine-cosine
# positions beside the relative ones. Its files for 300 and 800 epochs have the rates 3e-4 and 2e-4.
_base_ = './upernet_beit-vit-base_8xb2-amp-beit-160k_ade20k-512px.py'
base_lr = 1e-4
model = dict(backbone=dict(abs_pos='fixed'))
optim_wrapper = dict(optimizer=dict(lr=base_lr))
protocol = dict(name='ade20k-upernet-cae-160k-base')
