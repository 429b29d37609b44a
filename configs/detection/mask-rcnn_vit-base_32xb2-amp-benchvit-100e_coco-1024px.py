_base_ = './mask-rcnn_vit-base_32xb2-amp-benchvit-25e_coco-1024px.py'
train_cfg = dict(max_epochs=100)
protocol = dict(name='coco-mask-rcnn-benchvit-100e')
