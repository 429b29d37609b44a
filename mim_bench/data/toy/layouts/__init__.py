"""The three layouts of the embedded data set, each as its library reads it.

A layout draws one image by its number and, when all are drawn, writes files that span
them: lists and annotations.
"""

from mim_bench.data.toy.layouts.ade import AdeLayout
from mim_bench.data.toy.layouts.base import Drawn, Layout
from mim_bench.data.toy.layouts.coco import CocoLayout
from mim_bench.data.toy.layouts.imagenet import ImageNetLayout

LAYOUTS: dict[str, Layout] = {
    layout.name: layout for layout in (ImageNetLayout(), AdeLayout(), CocoLayout())
}

__all__ = ['LAYOUTS', 'Drawn', 'Layout']
