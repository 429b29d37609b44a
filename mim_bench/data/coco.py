"""COCO's layout as mmdet loads it: classes by name, annotations completed, losses counted.

mmdet numbers the classes in the order of ``categories`` in each annotation file; here the names of
the config decide, in training, evaluation and metric alike.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any

from mim_bench.data.coco_annotations import (
    category_ids,
    check_document,
    complete,
    read_document,
    unused_objects,
)
from mim_bench.data.summary import Summary
from mim_bench.registry import DATASETS


@DATASETS.register_module(name='CocoDataset')
def coco_dataset(**settings: Any) -> Any:
    """A subclass of mmdet's CocoDataset that checks its annotation file and has a ``summary``.

    Args:
        **settings: Arguments of mmdet's class. ``metainfo['classes']`` may name a part of the
            categories of the file, in any order.

    Raises:
        DataError: The file is damaged, lacks one of the classes, or leaves nothing to use.
    """
    return _dataset_class()(**settings)


@cache
def open_class() -> type:
    """Mmdet's class of an annotation file, which numbers classes by the names it is asked for."""
    from mmdet.datasets.api_wrappers import COCO

    class NamedCOCO(COCO):
        """An annotation file, completed; ``area_computed`` counts areas that were not stated."""

        def __init__(self, annotation_file: str) -> None:
            self.path = str(annotation_file)
            super().__init__()
            self.dataset = read_document(self.path)
            self.area_computed = complete(self.dataset)
            self.createIndex()
            self.img_ann_map, self.cat_img_map = self.imgToAnns, self.catToImgs

        def get_cat_ids(self, cat_names: Sequence[str] = (), **others: Any) -> list[int]:
            """Ids of the categories, in the order of the names."""
            if isinstance(cat_names, str) or not cat_names:
                return super().get_cat_ids(cat_names, **others)
            return category_ids(self.dataset['categories'], cat_names, self.path)

    return NamedCOCO


@cache
def _dataset_class() -> type:
    from mmdet.datasets import CocoDataset as MMDetDataset

    class CocoDataset(MMDetDataset):
        """See :func:`coco_dataset`."""

        summary: Summary

        def load_data_list(self) -> list[dict]:
            """Images and objects of the annotation file."""
            opened = open_class()(self.ann_file)
            self.COCOAPI = lambda _: opened
            document = opened.dataset
            needs_outlines = any(getattr(step, 'with_mask', False) for step in self._steps())
            check_document(document, self.ann_file, needs_outlines=needs_outlines)
            found = super().load_data_list()
            del self.COCOAPI
            names = self.metainfo['classes']
            self.summary = Summary(
                self.ann_file, len(document['images']), len(document['annotations'])
            )
            self.summary.names = tuple(names)
            unused, used = unused_objects(document, set(self.cat_ids), is_test=self.test_mode)
            self.summary.empty = tuple(
                name for name, number in zip(names, self.cat_ids, strict=True) if number not in used
            )
            for reason, number in unused.items():
                self.summary.add_unused(f'objects {reason}', number)
            self.summary.add_unused('areas computed, not stated or 0', opened.area_computed)
            return found

        def filter_data(self) -> list[dict]:
            """Leave out what ``filter_cfg`` says."""
            kept = super().filter_data()
            minimum = (self.filter_cfg or {}).get('min_size', 0)
            rest = len(self.data_list) - len(kept)
            small = rest and sum(
                min(data['width'], data['height']) < minimum for data in self.data_list
            )
            self.summary.add_unused('images without an object of the classes', rest - small)
            self.summary.add_unused(f'images with a side under {minimum} pixels', small)
            self.summary.check_used()
            return kept

        def _steps(self) -> list[Any]:
            return getattr(self.pipeline, 'transforms', [])

    return CocoDataset
