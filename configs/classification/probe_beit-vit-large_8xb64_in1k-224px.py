# The same for ViT-L.
_base_ = './probe_beit-vit-base_8xb64_in1k-224px.py'
model = dict(backbone=dict(arch='large', layer_scale=1e-5))
