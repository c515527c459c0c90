"""Reports are one file; their views switch in a browser, and names of users are only text."""

import json
import re
import shutil
import subprocess

import numpy as np
import pytest
from helpers import disk_labels, tiny_segmenter

from fscs.data.intensity import stretch
from fscs.segmentation.annotated_files import AnnotatedPage
from fscs.segmentation.cross_validation import FoldResult, ImagePart
from fscs.segmentation.instances import Watershed
from fscs.segmentation.report import Case, case_of_fold, write_report

BROWSER = next(filter(None, map(shutil.which, ('chromium', 'chromium-browser', 'chrome'))), None)

# Clicks every view and writes down what is visible then.
CLICKS = """
<pre id="found"></pre><script>
addEventListener('load', () => {
  const found = { pictures: [...document.images].map(image => image.naturalWidth) }
  for (const input of document.querySelectorAll('input[name=view]')) {
    input.click()
    found[input.value] = [...document.querySelectorAll('figure:first-of-type img')].map(
      image => getComputedStyle(image).visibility)
  }
  document.getElementById('found').textContent = JSON.stringify(found)
})
</script></body>
"""


@pytest.fixture
def report(tmp_path):
  labels = disk_labels((30, 30, 12), shape=(60, 80))
  grey = (labels * 100 + 50).astype(np.uint8)
  colours = np.stack([grey, grey, 255 - grey], axis=-1)
  cases = [
    Case('a & b <i>.tif', '0.612', grey, labels, np.roll(labels, 6, axis=1)),
    Case('c', '1', colours, labels, labels),
  ]
  path = tmp_path / 'report.html'
  facts = {'scale': 0.5, 'x': '<&>'}
  rows = [('image', 'IoU'), ('<c>', 0.5)]
  write_report(
    path, 'A "run" <b>', '', cases, facts, heading='1 & 2', rows=rows, losses=[3.0, 2.0, 1.0]
  )
  return path


def test_a_report_is_one_file_in_which_names_are_only_text(report):
  text = report.read_text()
  assert not re.search(r'(src|href)="(?!data:)', text)
  assert 'a &amp; b &lt;i&gt;.tif' in text
  assert not re.search('<(i|b|c)>', text)
  assert text.count('<polyline') == 1


def test_a_report_without_truth_has_only_the_views_that_exist(tmp_path):
  labels = np.eye(40, dtype=np.int32)
  case = Case('b.tif', '7 objects', labels.astype(np.uint8), None, labels)
  write_report(tmp_path / 'report.html', 'Title', '', [case], {}, heading='1 of 2 images')
  text = (tmp_path / 'report.html').read_text()
  assert re.findall('<input[^>]* value="([a-z]*)"', text) == ['image', 'prediction']
  assert '<polyline' not in text


@pytest.mark.skipif(BROWSER is None, reason='no Chromium is installed')
def test_held_out_parts_are_shown_in_colour_with_their_objects():
  labels = disk_labels((30, 20, 9), (30, 38, 9), (30, 70, 9), shape=(60, 80))
  probability = np.where(labels > 0, 0.95, 0.05).astype(np.float32)
  part = ImagePart(0, slice(0, 60), slice(0, 40))
  grey = (labels > 0).astype(np.uint8) * 200
  fold = FoldResult('a', part, grey[:, :40], labels[:, :40], probability[:, :40], iou=0.5)
  colours = np.stack([grey, grey * 0, grey * 0], axis=-1)
  page = AnnotatedPage('a', grey, colours, labels, (), True, '')
  segmenter = tiny_segmenter(watershed=Watershed(min_distance=8.0))
  case = case_of_fold(fold, segmenter, page)
  assert case.caption == 'IoU 0.500; 2 objects found, 2 annotated'
  np.testing.assert_array_equal(case.image, stretch(colours)[:, :40])
  np.testing.assert_array_equal(case.prediction > 0, labels[:, :40] > 0)
  plain = case_of_fold(fold, segmenter, page._replace(rgb=False))
  np.testing.assert_array_equal(plain.image, fold.grey)


def test_views_switch_in_a_browser(report, tmp_path):
  page = tmp_path / 'clicked.html'
  page.write_text(report.read_text().replace('</body>', CLICKS))
  options = ('--headless', '--no-sandbox', '--disable-gpu', '--enable-logging=stderr')
  shown = subprocess.run(
    [BROWSER, *options, f'--user-data-dir={tmp_path / "profile"}', '--dump-dom', page.as_uri()],
    capture_output=True,
    text=True,
    timeout=120,
    check=True,
  )
  assert 'CONSOLE' not in shown.stderr
  found = json.loads(re.search(r'<pre id="found">(.*?)</pre>', shown.stdout)[1])
  assert found['pictures'] == [80, 400, 400, 80] * 2
  visible = {'image': (0,), 'truth': (0, 1), 'prediction': (0, 2), 'error': (0, 3)}
  for view, layers in visible.items():
    expected = ['visible' if layer in layers else 'hidden' for layer in range(4)]
    assert found[view] == expected, view
