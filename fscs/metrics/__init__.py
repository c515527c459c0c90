"""Agreement of predictions with the truth: of pixels and of objects."""

from fscs.metrics.objects import (
  Matching,
  average_precision,
  count_error,
  f1,
  match,
  match_each,
  object_accuracy,
  overlaps,
  panoptic_quality,
  pool,
  precision,
  recall,
)
from fscs.metrics.pixels import dice, foreground_accuracy, iou

__all__ = [
  'Matching',
  'average_precision',
  'count_error',
  'dice',
  'f1',
  'foreground_accuracy',
  'iou',
  'match',
  'match_each',
  'object_accuracy',
  'overlaps',
  'panoptic_quality',
  'pool',
  'precision',
  'recall',
]
