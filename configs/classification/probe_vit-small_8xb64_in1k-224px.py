# The same for ViT-S.
_base_ = './probe_vit-base_8xb64_in1k-224px.py'
model = dict(backbone=dict(arch='small'))
