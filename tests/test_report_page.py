"""The page of a run in a real browser: pictures show, views switch, nothing is loaded or logged."""

import json
import re
import shutil
import subprocess

import numpy as np
import pytest
from skimage.draw import disk

from fscs.segmentation.report import Case, _outlines
from experiments.study.tables import curve
from fscs.segmentation.report_page import write_page

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
def page(tmp_path):
  labels = np.zeros((60, 80), np.int32)
  labels[disk((30, 30), 12)] = 1
  grey = (labels * 100 + 50).astype(np.uint8)
  colours = np.stack([grey, grey, 255 - grey], axis=-1)
  moved = np.roll(labels, 6, axis=1)
  cases = [
    Case('a & b <i>.tif', '0.612', grey, labels, moved),
    Case('c', '1', colours, labels, labels),
  ]
  path = tmp_path / 'page.html'
  write_page(path, 'A "run" <b>', 'expect 0.7', [3.0, 2.0, 1.0], cases, {'scale': 0.5, 'x': '<&>'})
  return path


def test_the_page_is_one_file_and_what_users_name_is_only_text(page):
  text = page.read_text()
  assert not re.search(r'(src|href)="(?!data:)', text)
  assert 'a &amp; b &lt;i&gt;.tif' in text
  assert '<i>' not in text
  assert '<td>0.5</td>' in text
  assert '2007.01671' in text


def test_a_curve_goes_from_its_largest_to_its_smallest_value():
  svg = curve([4.0, 2.0, 1.0], width=160, height=140)
  assert 'points="50.0,10.0 100.0,76.7 150.0,110.0"' in svg
  assert '>4<' in svg
  assert '>1<' in svg


def test_a_page_without_truth_has_only_the_views_that_exist(tmp_path):
  labels = np.eye(40, dtype=np.int32)
  path = tmp_path / 'page.html'
  table = [('image', 'objects'), ('b.tif', 7), ('<c>', 'left out: "x"')]
  case = Case('b.tif', '7 objects', labels.astype(np.uint8), None, labels)
  write_page(path, 'Title', '', (), [case], {}, heading='1 of 2 images', table=table)
  text = path.read_text()
  assert re.findall('<input[^>]* value="([a-z]*)"', text) == ['image', 'prediction']
  assert '<figcaption>b.tif: 7 objects</figcaption>' in text
  assert '<h2>1 of 2 images</h2>' in text
  assert '<td>b.tif</td><td class=number>7</td>' in text
  assert '<td>&lt;c&gt;</td><td>left out: &quot;x&quot;</td>' in text
  assert 'error' not in text.partition('</style>')[2]
  assert 'Learning curve' not in text


def test_outlines_are_two_pixels_wide_and_finer_than_the_pixels_of_a_small_image():
  labels = np.zeros((48, 96), np.int32)
  labels[:, 48:] = 1
  layer = _outlines(labels, (1, 2, 3))
  assert layer.shape == (192, 384, 4)
  (columns,) = np.nonzero(layer[0, :, 3])
  assert columns.tolist() == [191, 192]
  assert layer[0, 191].tolist() == [1, 2, 3, 255]


@pytest.mark.skipif(BROWSER is None, reason='no Chromium is installed')
def test_pictures_show_and_views_switch_in_a_browser(page, tmp_path):
  tried = tmp_path / 'tried.html'
  tried.write_text(page.read_text().replace('</body>', CLICKS))
  options = ('--headless', '--no-sandbox', '--disable-gpu', '--enable-logging=stderr')
  shown = subprocess.run(
    [BROWSER, *options, f'--user-data-dir={tmp_path / "profile"}', '--dump-dom', tried.as_uri()],
    capture_output=True,
    text=True,
    timeout=120,
    check=True,
  )
  assert 'CONSOLE' not in shown.stderr
  found = json.loads(re.search(r'<pre id="found">(.*?)</pre>', shown.stdout)[1])
  assert found['pictures'] == [80, 400, 400, 80] * 2
  on = {'image': (0,), 'truth': (0, 1), 'prediction': (0, 2), 'error': (0, 3)}
  for view, visible in on.items():
    expected = ['visible' if i in visible else 'hidden' for i in range(4)]
    assert found[view] == expected, view
