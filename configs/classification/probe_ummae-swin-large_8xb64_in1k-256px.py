# The same for Swin-L.
_base_ = './probe_ummae-swin-tiny_8xb64_in1k-256px.py'
model = dict(backbone=dict(arch='large'))
