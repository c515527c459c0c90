"""What is written down about the machine."""

import pytest

from fscs import environment

X86 = 'processor\t: 0\ncpu family\t: 25\nmodel\t\t: 17\nmodel name\t: AMD EPYC\n\n'


@pytest.mark.parametrize(
  ('text', 'expected'),
  [
    (X86 + X86.replace('17', '1'), 'AMD EPYC (family 25, model 17)'),  # of the first core
    ('model name : Cortex\n', 'Cortex'),
  ],
)
def test_a_processor_is_named_with_its_model(tmp_path, monkeypatch, text, expected):
  (tmp_path / 'cpuinfo').write_text(text)
  monkeypatch.setattr(environment, 'Path', lambda _: tmp_path / 'cpuinfo')
  assert environment.processor() == expected
