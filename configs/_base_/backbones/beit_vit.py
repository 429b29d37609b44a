# BEiT's vision transformer (microsoft/unilm, beit; ConMIM fine-tunes the same): relative positions
# in every block, no bias for the keys, layer scale. The start of the layer scale counts only where
# nothing is loaded.
backbone_cfg = dict(
    type='mim_bench.ViT',
    arch='base',
    abs_pos='none',
    rel_pos_bias='per_block',
    qkv_bias='qv',
    layer_scale=0.1,
)
