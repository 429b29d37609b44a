# Logistic regression of patches on the embedded scenes.
_base_ = './toy_knn.py'
test_cfg = dict(
    classifier=dict(_delete_=True, name='logreg', strengths=[0.01, 1.0], max_iter=100),
    sampling='uniform',
)
protocol = dict(task='ade20k-logreg', name='toy-logreg')
