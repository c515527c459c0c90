"""A network that is fine-tuned on a user's images, with everything that its prediction depends on.

  segmenter = fscs.finetune(fscs.pretrained(), images, masks)
  segmenter.predict(image)   # (H, W) float32, probability of foreground
  segmenter.labels(image)    # (H, W) int32, objects 1 to n

Images are NumPy arrays (H, W) or (H, W, channels) of any numbers, of any size.
"""

import dataclasses
import functools
from pathlib import Path
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from fscs.data.bank import normalise
from fscs.data.channels import Channel
from fscs.data.scaling import rescale, rescale_probability, scaled_shape, stretch, to_grey
from fscs.errors import InputError
from fscs.io.checkpoints import load_init, save_init
from fscs.models import make_model
from fscs.models.layers import BatchNorm, Convolution, Upsampling
from fscs.segmentation import instances as objects
from fscs.segmentation import tiles
from fscs.segmentation.instances import Splitting
from fscs.segmentation.prediction import Orientations, averaged, batch_statistics
from fscs.typing import Params

FORMAT = 1  # of saved segmenters


class Support(NamedTuple):
  """What the annotated images were like, to tell others from them."""

  diameters: tuple[float, float, float]  # of objects: smallest, typical, largest; own pixels
  grey: tuple[float, float, float]  # mean of images in 0 to 255: smallest, mean, largest
  contrast: tuple[float, float, float]  # standard deviation of images, alike


@dataclasses.dataclass(frozen=True)
class Segmenter:
  """Predicts foreground and objects; see `fscs.finetune`, which makes one.

  Attributes:
    architecture: 'fcrn', 'unet' or 'deep_unet'.
    widths: channels of its levels.
    params: parameters, with batch-norm scales and biases.
    statistics: batch-norm statistics of crops of the annotated images, or None where every image is
      normalised by its own.
    scale: factor by which images are resized before the network sees them.
    channel: which channel of an image counts, or weights of all; None is luma for colours.
    splitting: how probability becomes objects; lengths in pixels of the images.
    support: what the annotated images were like.
    estimate: IoU to expect on new images, by cross-validation on the annotated ones; None if
      unknown.
    orientations: 4 or 8 make predictions means over flips or all symmetries of the square, which is
      a little better and takes so many times as long; `dataclasses.replace` changes it.
  """

  architecture: str
  widths: tuple[int, ...]
  params: Params
  statistics: Params | None
  scale: float
  channel: Channel
  splitting: Splitting
  support: Support
  estimate: float | None = None
  orientations: Orientations = 1

  def predict(self, image: np.ndarray) -> np.ndarray:
    """Probability of foreground, (H, W) float32 in [0, 1], as large as the image.

    Raises:
      InputError: the array is no image; see `fscs.data.scaling.to_grey`.
    """
    grey = to_grey(image, self.channel)
    small = rescale(stretch(grey), scaled_shape(grey.shape, self.scale))
    return rescale_probability(predict_grey(self, small), grey.shape)

  def labels(self, image: np.ndarray) -> np.ndarray:
    """Objects 1 to n, (H, W) int32; 0 is background. Raises as `predict`."""
    return objects.find_objects(self.predict(image), self.splitting)

  @property
  def reach(self) -> int:
    """How far the network sees to each side, in pixels of what it is shown."""
    return make_model(self.architecture, widths=self.widths).reach

  def save(self, folder: str | Path) -> None:
    """Write the segmenter; one that is there is replaced."""
    arrays = {'params': self.params}
    if self.statistics is not None:
      arrays['statistics'] = self.statistics
    rest = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
    facts = {name: value for name, value in rest.items() if name not in ('params', 'statistics')}
    facts['splitting'], facts['support'] = self.splitting._asdict(), self.support._asdict()
    save_init(folder, arrays, {'format': FORMAT, 'kind': 'segmenter', **facts})

  @classmethod
  def load(cls, folder: str | Path) -> 'Segmenter':
    """Read what `save` wrote.

    Raises:
      InputError: there is none, it is damaged, or of another version.
    """
    arrays, facts = load_init(folder)
    if facts.get('kind') != 'segmenter':
      raise InputError(
        f'{folder} holds no fine-tuned model: run `python -m fscs.cli.finetune` first, and give'
        ' its --workdir'
      )
    if facts.get('format') != FORMAT:
      raise InputError(
        f'{folder} was written in format {facts.get("format")}, and this version reads {FORMAT}:'
        ' fine-tune again, or install the version that wrote it'
      )
    try:
      return cls(**_read_facts(facts), params=arrays['params'], statistics=arrays.get('statistics'))
    except (KeyError, TypeError, ValueError) as error:
      raise InputError(f'{folder} is damaged ({error}): fine-tune again') from error


def _read_facts(facts: dict[str, Any]) -> dict[str, Any]:
  names = {field.name for field in dataclasses.fields(Segmenter)} - {'params', 'statistics'}
  found = {name: facts[name] for name in names & facts.keys()}
  found['widths'] = tuple(found['widths'])
  if isinstance(found['channel'], list):
    found['channel'] = tuple(found['channel'])
  found['splitting'] = Splitting(**found['splitting'])
  found['support'] = Support(**{name: tuple(v) for name, v in found['support'].items()})
  return found


@functools.lru_cache
def _functions(architecture: str, widths: tuple[int, ...]):
  """Compiled functions of (B, H, W) uint8 images: probability, and batch statistics.

  Probability takes (variables, images, shape). Without statistics among the variables, images count
  as if they ended at that shape, rounded up to the network's stride: the rest, which they were
  filled up with, has no part in their statistics, and convolutions see zeros there.
  """
  model = make_model(architecture, widths=widths, affine=True)

  @jax.jit
  def probability(variables: Params, images: jax.Array, shape: tuple[int, int]) -> jax.Array:
    inputs = normalise(images)[..., None]
    if 'statistics' in variables:
      logits, _ = model.apply(variables, inputs)
    else:
      part = tuple(-(-size // model.stride) * model.stride for size in shape)
      with nn.intercept_methods(_only_part(part, images.shape[1:])):
        (logits, _), _ = model.apply(variables, inputs, mutable=['statistics'])
    return jax.nn.sigmoid(logits[..., 0])

  statistics = jax.jit(functools.partial(batch_statistics, model))
  return probability, statistics


def _only_part(part: tuple[int, int], whole: tuple[int, int]):
  """A Flax interceptor that makes layers see the upper left part of their (B, H, W, C) images.

  Args:
    part: height and width of the part; may be traced, so that one program serves all of them.
    whole: height and width of the images that the network is given.
  """

  def in_part(images: jax.Array) -> jax.Array:
    """(h, w, 1), 1 inside; the layer may see images smaller than the network does."""
    places = zip(images.shape[1:3], part, whole, strict=True)
    rows, columns = (jnp.arange(seen) * total < size * seen for seen, size, total in places)
    return jnp.outer(rows, columns)[..., None].astype(jnp.float32)

  def repeat_last(images: jax.Array) -> jax.Array:
    """What is beyond the part becomes the part's last row and column."""
    for axis in (1, 2):
      inside = in_part(images).max((2 - axis, 2)).sum().astype(int)
      places = jnp.minimum(jnp.arange(images.shape[axis]), inside - 1)
      images = jnp.take(images, places, axis)
    return images

  def intercept(call, images, options, context):
    layer = context.module
    if isinstance(layer, Upsampling):
      images = [repeat_last(x) for x in images]
    if isinstance(layer, Convolution):
      images = [x * in_part(x) for x in images]
    if isinstance(layer, BatchNorm):
      inside = in_part(images[0])
      count = len(images[0]) * inside.sum()
      mean = (images[0] * inside).sum((0, 1, 2)) / count
      variance = (jnp.square(images[0]) * inside).sum((0, 1, 2)) / count - jnp.square(mean)
      layer.put_variable('statistics', 'mean', mean)
      layer.put_variable('statistics', 'variance', jnp.maximum(variance, 0.0))
    return call(*images, **options)

  return intercept


def statistics_of(segmenter: Segmenter, images: np.ndarray) -> Params:
  """Batch-norm statistics of (N, H, W) uint8 images; sides must be multiples of the stride."""
  _, statistics = _functions(segmenter.architecture, segmenter.widths)
  return jax.device_get(statistics(segmenter.params, images))


def predict_grey(segmenter: Segmenter, grey: np.ndarray) -> np.ndarray:
  """(H, W) uint8 at the working scale to (H, W) float32 probabilities.

  Without kept statistics an image is normalised by its own, and what it is filled up with, so that
  the network is compiled for few sizes, does not count; but the paper's U-Net, whose up-sampling
  depends on the size, sees how much it is. An image of more than one tile is normalised by the
  statistics of a sample of it, so that its tiles fit together.
  """
  probability, _ = _functions(segmenter.architecture, segmenter.widths)
  variables = {'params': segmenter.params}
  kept = segmenter.statistics
  if kept is None and max(grey.shape) > tiles.TILE:
    kept = statistics_of(segmenter, tiles.sample(grey))
  if kept is not None:
    variables['statistics'] = kept

  def whole(grey: np.ndarray) -> np.ndarray:
    of_part = lambda part: np.asarray(probability(variables, part[None], grey.shape)[0])  # noqa: E731
    return tiles.predict_by_tiles(of_part, grey, segmenter.reach)

  return averaged(whole, segmenter.orientations)(grey)
