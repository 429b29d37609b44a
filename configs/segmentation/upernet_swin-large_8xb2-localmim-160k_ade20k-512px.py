# The same recipe for Swin-L; inferred: no config was released. Windows of 14, as in LocalMIM's
# pre-training of Swin-L.
_base_ = './upernet_swin-base_8xb2-localmim-160k_ade20k-512px.py'
model = dict(
    backbone=dict(arch='large', window_size=(14, 14, 14, 7)),
    decode_head=dict(in_channels=[192, 384, 768, 1536]),
    auxiliary_head=dict(in_channels=768),
)
