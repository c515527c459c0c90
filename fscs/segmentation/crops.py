"""The crops of a user's annotated images that fine-tuning learns from."""

from collections.abc import Sequence

import numpy as np

from fscs.data.bank import Bank, bank_of
from fscs.data.preprocessing import GreySet, crop_corners
from fscs.data.scaling import fill_up
from fscs.segmentation.annotations import Annotated

CROPS_ACROSS = 8  # crops begin at multiples of an eighth of their side


def crop_bank(
  images: Sequence[Annotated], crop_size: int
) -> tuple[Bank, np.ndarray, list[np.ndarray]]:
  """The images on the device, (C, 3) image, row, column of every crop, and the images filled up."""
  stride = max(1, crop_size // CROPS_ACROSS)
  sets, tables = [], []
  for image in images:
    grey, labels = (fill_up(x, crop_size, stride) for x in (image.grey, image.labels))
    mask = (labels > 0).astype(np.uint8)
    sets.append(GreySet(image.name, grey[None], mask[None], (image.name,)))
    tables.append(crops_of(mask, crop_size, stride))
  corners = [
    np.concatenate([np.full((len(table), 1), index), table[:, 1:]], axis=1)
    for index, table in enumerate(tables)
  ]
  return bank_of(sets, tables), np.concatenate(corners), [grey_set.images[0] for grey_set in sets]


def crops_of(mask: np.ndarray, crop_size: int, stride: int) -> np.ndarray:
  """(C, 3) 0, row, column: all crops with foreground, and at most a third as many without."""
  every, filled = (crop_corners(mask[None], crop_size, (stride, stride), least) for least in (0, 1))
  place = lambda table: table[:, 1] * mask.shape[1] + table[:, 2]  # noqa: E731
  empty = every[~np.isin(place(every), place(filled))]
  wanted = min(len(empty), -(-len(filled) // 3))
  chosen = np.linspace(0, len(empty) - 1, wanted).round().astype(int)
  return np.concatenate([filled, empty[chosen]])
