# A hundredth of the labels. Our own choice: as with a tenth, for 200 epochs of 25 steps.
_base_ = './finetune_ummae-pvt-small_8xb64-amp-own-100e_in1k-10pct-256px.py'
train_dataloader = dict(dataset=dict(share=0.01))
train_cfg = dict(max_epochs=200)
protocol = dict(task='in1k-1pct-ft', name='in1k-1pct-ft-own-200e')
