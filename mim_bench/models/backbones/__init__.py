"""Backbones that mmpretrain, mmseg and mmdet build alike, with the same keys."""
