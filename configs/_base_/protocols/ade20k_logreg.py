# The common protocol of logistic regression of patches on ADE20K: L-BFGS, C chosen of eight on a
# tenth of the training images (facebookresearch/capi@3493b57, eval_segmentation.py). Own choice:
# 1,024,000 patches, drawn evenly, 50 of each image.
_base_ = './ade20k_knn.py'
test_cfg = dict(
    classifier=dict(_delete_=True, name='logreg', holdout_share=0.1, max_iter=1000, seed=0),
    sampling='uniform',
)
protocol = dict(task='ade20k-logreg', name='ade20k-logreg-common', version='1')
