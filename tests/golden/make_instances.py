"""Writes `instances.json` next to this file: scores of random label images, by StarDist.

  pip install stardist tqdm
  python tests/golden/make_instances.py

The tests draw the same images again, so only the scores are stored: lists of one value per image
and threshold, rounded to 7 digits as StarDist's IoUs are float32.
"""

import json
from pathlib import Path

import numpy as np

PATH = Path(__file__).with_name('instances.json')
NUM_IMAGES = 50
SEED = 7
SIZE = 96
# Below 0.5 an object can have several candidates, so that the assignment counts.
THRESHOLDS = (0.1, 0.3, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)
SCORES = ('accuracy', 'precision', 'recall', 'f1', 'panoptic_quality')


def label_images(index: int) -> tuple[np.ndarray, np.ndarray]:
  """Prediction and truth (96, 96) int32: disks, and the same moved, missed, split and merged."""
  rng = np.random.RandomState(SEED + index)  # its streams are frozen
  prediction, truth = np.zeros((2, SIZE, SIZE), np.int32)
  numbers = 1 + rng.permutation(200)  # with gaps, and in another order than the truth's
  for number in range(1, rng.randint(4, 25)):
    centre, radius = rng.uniform(5, SIZE - 5, 2), rng.uniform(3, 12)
    truth[_disk(centre, radius)] = number
    if rng.uniform() < 0.1:
      continue
    found = _disk(centre + rng.normal(0, 0.12 * radius, 2), radius * rng.uniform(0.85, 1.1))
    prediction[found] = numbers[number - (rng.uniform() < 0.15)]  # or the previous one's: merged
    if rng.uniform() < 0.15:
      left = found & (np.arange(SIZE) < centre[1])
      prediction[left] = numbers[-number]
  for extra in range(rng.randint(3)):
    prediction[_disk(rng.uniform(0, SIZE, 2), 5)] = numbers[100 + extra]
  return prediction, truth


def reference_scores() -> dict[str, list[list[float]]]:
  """{score: one list per image of one value per threshold}, computed by the installed StarDist."""
  from stardist.matching import matching

  scores = {name: [] for name in SCORES}
  for index in range(NUM_IMAGES):
    prediction, truth = label_images(index)
    results = matching(truth, prediction, thresh=THRESHOLDS)
    for name, values in scores.items():
      values.append([round(float(getattr(result, name)), 7) for result in results])
  return scores


def _disk(centre: np.ndarray, radius: float) -> np.ndarray:
  rows, columns = np.ogrid[:SIZE, :SIZE]
  return (rows - centre[0]) ** 2 + (columns - centre[1]) ** 2 <= radius**2


def main() -> None:
  from stardist import __version__

  content = {'stardist': __version__, 'seed': SEED, 'thresholds': THRESHOLDS}
  text = json.dumps({**content, **reference_scores()})
  PATH.write_text(text.replace('], [', '],\n [') + '\n')


if __name__ == '__main__':
  main()
