# ConMIM's recipe for ViT-B (TencentARC/ConMIM@4263955, README), which is BEiT's.
_base_ = './finetune_beit-vit-base_8xb128-amp-beit-100e_in1k-224px.py'
protocol = dict(name='in1k-ft-conmim-100e')
