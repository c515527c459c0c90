"""The reference's arithmetic in PyTorch: networks, losses, inner loop and Reptile step.

Written independently of fscs, with PyTorch's own layers, losses and optimizer.
`tests/golden/make_golden.py` computes the expected values of tests with it, and the benchmark times
it. Nothing else needs PyTorch. Tensors are NCHW; modules have the names of the published code.
"""

import copy
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional


class Episode(NamedTuple):
  """One task; every field is (B, 1, H, W)."""

  images: Tensor
  masks: Tensor  # in {0, 1}
  distillation_images: Tensor
  entropy_images: Tensor


def batch_norm(channels: int, affine: bool) -> nn.BatchNorm2d:
  """Normalisation by the statistics of the batch, also in evaluation."""
  return nn.BatchNorm2d(channels, eps=1e-5, affine=affine, track_running_stats=False)


class FCRN(nn.Module):
  """Fully convolutional regression network; images (B, 1, H, W), H and W multiples of 8."""

  def __init__(self, widths=(32, 64, 128, 512), affine=False):
    super().__init__()
    w1, w2, w3, w4 = widths

    def block(convolution, channels, *pool):
      return nn.Sequential(convolution, batch_norm(channels, affine), nn.ReLU(), *pool)

    def down(c_in, c_out, *pool):
      return block(nn.Conv2d(c_in, c_out, 3, padding=1, bias=False), c_out, *pool)

    def up(c_in, c_out):
      return block(nn.ConvTranspose2d(c_in, c_out, 2, stride=2, bias=False), c_out)

    self.conv1 = down(1, w1, nn.MaxPool2d(2))
    self.conv2 = down(w1, w2, nn.MaxPool2d(2))
    self.conv3 = down(w2, w3, nn.MaxPool2d(2))
    self.conv4 = down(w3, w4)
    self.conv5 = up(w4, w3)
    self.conv6 = up(w3, w2)
    self.conv7 = up(w2, w1)
    self.conv8 = nn.Conv2d(w1, 1, 3, padding=1)

  def features(self, images: Tensor) -> Tensor:
    """Returns the bottleneck's output (B, w4, H/8, W/8)."""
    return self.conv4(self.conv3(self.conv2(self.conv1(images))))

  def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
    """Returns logits (B, 1, H, W) and the features."""
    features = self.features(images)
    return self.conv8(self.conv7(self.conv6(self.conv5(features)))), features


class UNet(nn.Module):
  """U-Net of three levels; images (B, 1, H, W), H and W multiples of 4."""

  def __init__(self, widths=(32, 64, 128), affine=False):
    super().__init__()
    w1, w2, w3 = widths

    def double(c_in, c_out):
      return nn.Sequential(
        nn.Conv2d(c_in, c_out, 3, padding=1),
        batch_norm(c_out, affine),
        nn.ReLU(),
        nn.Conv2d(c_out, c_out, 3, padding=1),
        batch_norm(c_out, affine),
        nn.ReLU(),
      )

    self.dconv_down1 = double(1, w1)
    self.dconv_down2 = double(w1, w2)
    self.dconv_down3 = double(w2, w3)
    self.dconv_up2 = double(w3 + w2, w2)
    self.dconv_up1 = double(w2 + w1, w1)
    self.conv_last = nn.Conv2d(w1, 1, 1)
    self.pool = nn.MaxPool2d(2)
    self.upsample = nn.Upsample(scale_factor=2, mode='bilinear', align_corners=True)

  def features(self, images: Tensor) -> Tensor:
    """Returns the third block's output (B, w3, H/4, W/4)."""
    return self.dconv_down3(self.pool(self.dconv_down2(self.pool(self.dconv_down1(images)))))

  def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
    """Returns logits (B, 1, H, W) and the features."""
    skip1 = self.dconv_down1(images)
    skip2 = self.dconv_down2(self.pool(skip1))
    features = self.dconv_down3(self.pool(skip2))
    x = self.dconv_up2(torch.cat([self.upsample(features), skip2], dim=1))
    x = self.dconv_up1(torch.cat([self.upsample(x), skip1], dim=1))
    return self.conv_last(x), features


NETWORKS = {'fcrn': FCRN, 'unet': UNet}


def weighted_bce(logits: Tensor, masks: Tensor) -> Tensor:
  """Cross-entropy; the foreground of each image has weight #background / #foreground."""
  foreground = masks.sum(dim=(1, 2, 3), keepdim=True)
  background = (1 - masks).sum(dim=(1, 2, 3), keepdim=True)
  weight = torch.where(foreground > 0, background / foreground.clamp(min=1), 1.0)
  return functional.binary_cross_entropy_with_logits(logits, masks, pos_weight=weight)


def entropy_regularisation(logits: Tensor) -> Tensor:
  """One-sided entropy, mean of -sigmoid(z) log sigmoid(z)."""
  return (-torch.sigmoid(logits) * functional.logsigmoid(logits)).mean()


def distillation(features: Tensor, other_features: Tensor) -> Tensor:
  """Mean squared error between feature maps, paired by position in the batch."""
  return functional.mse_loss(features, other_features)


def objective_loss(
  model: nn.Module, episode: Episode, objective: str, alpha: float, beta: float
) -> Tensor:
  """The scalar objective; each group of images is one batch with its own statistics."""
  logits, features = model(episode.images)
  loss = weighted_bce(logits, episode.masks)
  if objective in ('bce_entropy', 'combined'):
    other_logits, _ = model(episode.entropy_images)
    loss = loss + alpha * entropy_regularisation(other_logits)
  if objective in ('bce_distillation', 'combined'):
    # Not detached: in the published code the gradient flows into both feature maps.
    other_features = model.features(episode.distillation_images)
    loss = loss + beta * distillation(features, other_features)
  return loss


def gradient(
  model: nn.Module, episode: Episode, *, objective: str, alpha: float, beta: float
) -> dict[str, Tensor]:
  """Gradient of the objective with respect to every parameter, by name."""
  names, parameters = zip(*model.named_parameters(), strict=True)
  loss = objective_loss(model, episode, objective, alpha, beta)
  # The segmentation loss depends on every parameter, so no gradient is missing.
  return dict(zip(names, torch.autograd.grad(loss, parameters), strict=True))


def adapt(
  model: nn.Module,
  episode: Episode,
  *,
  objective: str,
  alpha: float,
  beta: float,
  learning_rate: float,
  weight_decay: float,
  num_steps: int,
) -> nn.Module:
  """Returns a copy of the model after `num_steps` of a fresh Adam on one episode."""
  model = copy.deepcopy(model)
  # torch.optim.Adam adds the decay to the gradient; AdamW would decouple it.
  optimizer = torch.optim.Adam(model.parameters(), lr=learning_rate, weight_decay=weight_decay)
  for _ in range(num_steps):
    optimizer.zero_grad()
    objective_loss(model, episode, objective, alpha, beta).backward()
    optimizer.step()
  return model


def reptile_update(model: nn.Module, adapted: list[nn.Module], meta_lr: float) -> dict[str, Tensor]:
  """Update of the meta-parameters: meta_lr * mean over tasks of (adapted - model)."""
  tasks = [dict(task.named_parameters()) for task in adapted]
  return {
    name: meta_lr * torch.stack([task[name].detach() - value.detach() for task in tasks]).mean(0)
    for name, value in model.named_parameters()
  }
