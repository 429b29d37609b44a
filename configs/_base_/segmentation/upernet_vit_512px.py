# MAE's plain transformer under UPerNet. Beside its absolute positions every block gets a table of
# relative positions that starts from zeros, and a layer scale that starts from ones.
_base_ = './upernet_beit_512px.py'
model = dict(backbone=dict(abs_pos='learned', qkv_bias='full', layer_scale=1.0))
