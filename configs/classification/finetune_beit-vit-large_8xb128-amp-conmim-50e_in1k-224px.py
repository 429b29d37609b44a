# Inferred: ConMIM's repository states no recipe for ViT-L; this is BEiT's.
_base_ = './finetune_beit-vit-large_8xb128-amp-beit-50e_in1k-224px.py'
protocol = dict(name='in1k-ft-conmim-50e')
