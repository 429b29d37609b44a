# A tenth of the labels. Our own choice, since no source states a recipe: ConMIM's for this
# backbone with all labels, in batches of 8 GPUs x 64 images = 512, the rate scaled.
_base_ = './finetune_beit-vit-base_8xb128-amp-conmim-100e_in1k-224px.py'
effective_batch_size = 512
train_dataloader = dict(batch_size=64, dataset=dict(type='mim_bench.LabelFraction', share=0.1))
optim_wrapper = dict(
    optimizer=dict(lr=_base_.base_lr * effective_batch_size / _base_.base_batch_size)
)
protocol = dict(task='in1k-10pct-ft', name='in1k-10pct-ft-own-100e')
