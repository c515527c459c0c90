from .objects import (
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
from .pixels import dice, foreground_accuracy, iou

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
