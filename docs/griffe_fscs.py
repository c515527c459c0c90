"""Griffe extension of the documentation site: how docstrings and signatures of fscs are shown.

Docstrings end with a bare doctest, or have a section `Examples:` of plain code. Markdown would show
the first as a quotation and the second as a paragraph. Fields of named tuples are described by
comments, which Griffe does not read. Defaults of `fscs.finetune` are attributes of a
`FineTuningConfig`, whose values signatures should show.
"""

import re
import textwrap

import griffe

from fscs.segmentation.config import FineTuningConfig

_DOCTEST = re.compile(r'^>>> .*(?:\n.+)*', re.MULTILINE)  # up to the next empty line
_SECTION = re.compile(r'^Examples:\n((?:  .*\n?|\n)+)', re.MULTILINE)
_COMMENT = re.compile(r'  # (.*)$')
_DEFAULT = '_DEFAULT.'  # an attribute of the default configuration


class FscsExtension(griffe.Extension):
  """Fenced examples, fields of named tuples, values of defaults."""

  def on_class(self, *, cls: griffe.Class, **_) -> None:
    is_tuple = any(str(base) == 'NamedTuple' for base in cls.bases)
    if is_tuple and cls.docstring is not None and 'Attributes:' not in cls.docstring.value:
      fields = [f'  {name}: {text}' for name, text in _comments_of_fields(cls).items()]
      cls.docstring.value += '\n'.join(['\n\nAttributes:', *fields])

  def on_object(self, *, obj: griffe.Object, **_) -> None:
    if obj.docstring is not None:
      obj.docstring.value = _fence_examples(obj.docstring.value)

  def on_function(self, *, func: griffe.Function, **_) -> None:
    for parameter in func.parameters:
      name = str(parameter.default).removeprefix(_DEFAULT)
      if name != str(parameter.default):
        parameter.default = repr(getattr(FineTuningConfig(), name))


def _comments_of_fields(cls: griffe.Class) -> dict[str, str]:
  """Names of the fields with the comments at the end of their lines."""
  comments = {}
  for name, attribute in cls.attributes.items():
    lines = attribute.lines
    if lines and attribute.annotation is not None and not attribute.has_labels('property'):
      found = _COMMENT.search(lines[-1])
      comments[name] = found[1] if found else name.replace('_', ' ')
  return comments


def _fence_examples(text: str) -> str:
  text = _DOCTEST.sub(_fence_doctest, text)
  return _SECTION.sub(_fence_section, text)


def _fence_doctest(match: re.Match) -> str:
  return f'```pycon\n{match[0]}\n```'


def _fence_section(match: re.Match) -> str:
  code = textwrap.dedent(match[1]).strip('\n')
  return f'```python\n{code}\n```\n'
