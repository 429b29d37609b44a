# A tenth of the labels. Our own choice, since no source states a recipe: UM-MAE's for this backbone
# with all labels, in batches of 8 GPUs x 64 images = 512, the rate scaled.
_base_ = './finetune_ummae-swin-tiny_8xb64-accum2-amp-ummae-100e_in1k-256px.py'
effective_batch_size = 512
train_dataloader = dict(dataset=dict(type='mim_bench.LabelFraction', share=0.1))
optim_wrapper = dict(
    accumulative_counts=1,
    optimizer=dict(lr=_base_.base_lr * effective_batch_size / _base_.base_batch_size),
)
protocol = dict(task='in1k-10pct-ft', name='in1k-10pct-ft-own-100e')
