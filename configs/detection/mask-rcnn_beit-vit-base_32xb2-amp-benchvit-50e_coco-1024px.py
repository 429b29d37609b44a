_base_ = './mask-rcnn_beit-vit-base_32xb2-amp-benchvit-25e_coco-1024px.py'
train_cfg = dict(max_epochs=50)
protocol = dict(name='coco-mask-rcnn-benchvit-50e')
