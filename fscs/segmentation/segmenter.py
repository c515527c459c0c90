"""Segmenter: a fine-tuned network with everything that its predictions depend on."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, get_args

import numpy as np

from fscs.data.channels import Channel
from fscs.data.intensity import stretch, to_grey
from fscs.data.scaling import rescale, rescale_float, scaled_shape
from fscs.errors import InputError
from fscs.io.checkpoints import load_arrays, save_arrays
from fscs.models import Architecture
from fscs.segmentation.config import Orientations
from fscs.segmentation.instances import Watershed, find_objects
from fscs.segmentation.prediction import Network, predict_grey

FORMAT = 2  # of saved segmenters


class SupportSummary(NamedTuple):
  """The range of the annotated images: (smallest, typical, largest) of each quantity."""

  diameters: tuple[float, float, float]  # of the objects, in pixels of the images
  grey: tuple[float, float, float]  # means of the images in 0 to 255
  contrast: tuple[float, float, float]  # standard deviations of the images in 0 to 255


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Segmenter:
  """Segments images of the kind it was fine-tuned on; made by `fscs.finetune`.

  Attributes:
    network: the network with the batch-norm statistics of the support crops.
    scale: factor by which images are resized for the network.
    channel: the channel that becomes the grey value, weights of all, or None for the luma of RGB.
    watershed: how probability becomes objects.
    support: the range of the annotated images.
    expected_iou: mean IoU of cross-validation on the annotated images; None if unknown.
    orientations: predictions are means over 1, 4 or 8 flips and rotations. More are slightly better
      and take as many times as long; `dataclasses.replace` changes the number.
    axes: of the arrays in image files, see `fscs.io.open_image`; None if the files say.
    channel_name: of the channel in image files, if it is chosen by its name there.

  Examples:
    segmenter = fscs.finetune(images, masks)
    labels = segmenter.predict(image)  # (H, W) int32
    segmenter.save('model')
    segmenter = fscs.Segmenter.load('model')
  """

  network: Network
  scale: float
  channel: Channel
  watershed: Watershed
  support: SupportSummary
  expected_iou: float | None = None
  orientations: Orientations = 1
  axes: str | None = None
  channel_name: str | None = None

  def predict(self, image: np.ndarray) -> np.ndarray:
    """Objects of an image.

    Args:
      image: (H, W) or (H, W, channels), any numbers, any size.

    Returns:
      (H, W) int32: objects 1 to n, 0 is background.

    Raises:
      InputError: the array is no image, or has other channels than the annotated images.
    """
    return find_objects(self.predict_proba(image), self.watershed)

  def predict_proba(self, image: np.ndarray) -> np.ndarray:
    """Foreground probability of an image.

    Args:
      image: (H, W) or (H, W, channels), any numbers, any size.

    Returns:
      (H, W) float32 in [0, 1].

    Raises:
      InputError: as `predict`.
    """
    grey = to_grey(image, self.channel)
    working = rescale(stretch(grey), scaled_shape(grey.shape, self.scale))
    return rescale_float(predict_grey(self.network, working, self.orientations), grey.shape)

  @property
  def file_channel(self) -> Channel | str:
    """The channel of image files: by its name, or as that of arrays."""
    return self.channel if self.channel_name is None else self.channel_name

  @property
  def receptive_radius(self) -> int:
    """Distance to the farthest pixel that an output depends on, at the working scale."""
    return self.network.receptive_radius

  def save(self, folder: str | Path) -> None:
    """Write the segmenter to a folder; a segmenter that is there is replaced.

    Raises:
      InputError: the folder holds other files.
    """
    network = self.network
    arrays = {'params': network.params, 'statistics': network.batch_statistics}
    facts = {
      'format': FORMAT,
      'kind': 'segmenter',
      'architecture': network.architecture,
      'widths': network.widths,
      'scale': self.scale,
      'channel': self.channel,
      'watershed': self.watershed._asdict(),
      'support': self.support._asdict(),
      'expected_iou': self.expected_iou,
      'orientations': self.orientations,
      'axes': self.axes,
      'channel_name': self.channel_name,
    }
    save_arrays(folder, arrays, facts)

  @classmethod
  def load(cls, folder: str | Path) -> 'Segmenter':
    """Read a segmenter that `save` wrote.

    Raises:
      InputError: the folder has none, it is damaged, or it is of a version that cannot be read.
    """
    arrays, facts = load_arrays(folder)
    if facts.get('kind') != 'segmenter':
      raise InputError(
        f'{folder} has no fine-tuned model: expected a folder that fscs.finetune or `fscs finetune`'
        ' wrote',
        arguments=('model',),
      )
    try:
      return cls(**_from_saved(arrays, facts, folder))
    except (KeyError, TypeError, ValueError) as error:
      if isinstance(error, InputError):
        raise
      raise InputError(f'{folder} is damaged ({error}): fine-tune again') from error

  def __repr__(self) -> str:
    iou = 'unknown' if self.expected_iou is None else f'{self.expected_iou:.2f}'
    channel = 'luma' if self.channel is None else self.channel
    return (
      f'Segmenter({self.network.architecture}, scale={self.scale:.3g}, channel={channel},'
      f' orientations={self.orientations}, expected IoU {iou})'
    )


def _from_saved(
  arrays: Mapping[str, Any], facts: Mapping[str, Any], folder: str | Path
) -> dict[str, Any]:
  """The attributes of a saved segmenter."""
  facts = dict(facts)
  if facts.get('format') == 1 and 'statistics' in arrays:  # other names for the same things
    old = facts.pop('splitting')
    facts['watershed'] = {**old, 'min_distance': old['distance']}
    del facts['watershed']['distance']
    facts['expected_iou'] = facts.pop('estimate')
  elif facts.get('format') != FORMAT:
    raise InputError(
      f'{folder} was written in format {facts.get("format")}, and this version reads {FORMAT}:'
      ' fine-tune again, or install the version that wrote it'
    )
  channel = facts['channel']
  if facts['architecture'] not in get_args(Architecture):
    raise ValueError(f'no architecture {facts["architecture"]}')
  return {
    'network': Network(
      facts['architecture'], tuple(facts['widths']), arrays['params'], arrays['statistics']
    ),
    'scale': facts['scale'],
    'channel': tuple(channel) if isinstance(channel, list) else channel,
    'watershed': Watershed(**facts['watershed']),
    'support': SupportSummary(**{name: tuple(v) for name, v in facts['support'].items()}),
    'expected_iou': facts['expected_iou'],
    'orientations': facts['orientations'],
    'axes': facts.get('axes'),
    'channel_name': facts.get('channel_name'),
  }
