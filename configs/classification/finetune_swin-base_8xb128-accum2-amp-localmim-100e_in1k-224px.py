# LocalMIM's recipe for Swin-B after 400 epochs of predicting HOG (Haoqing-Wang/LocalMIM@314a6e5,
# README): the same rate for twice the batch, 8 GPUs x 128 images x 2 accumulated = 2048.
_base_ = './finetune_swin-base_8xb128-amp-localmimpixel-100e_in1k-224px.py'
base_batch_size = 2048
effective_batch_size = 2048
optim_wrapper = dict(accumulative_counts=2)
protocol = dict(name='in1k-ft-localmim-100e-swin-base')
