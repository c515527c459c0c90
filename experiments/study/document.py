"""A text with tables and pictures, as Markdown beside its pictures and as one HTML file."""

import base64
import html
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from fscs.io.atomic import write_text

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 80rem; padding: 0 1rem;
  color: #222; background: #fff }
h1 { font-size: 1.5rem } h2 { font-size: 1.2rem; margin-top: 2.2rem } img { max-width: 100% }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums }
td, th { padding: .15rem .7rem .15rem 0; text-align: left; border-bottom: 1px solid #eee }
pre { overflow-x: auto; background: #f4f4f4; padding: .6rem } .wide { overflow-x: auto }
"""


class Heading(NamedTuple):
  """Begins a section."""

  text: str


class Text(NamedTuple):
  """A paragraph."""

  text: str


class Code(NamedTuple):
  """Commands."""

  text: str


class Table(NamedTuple):
  """Cells are shown as they are; `bold` are (row, column) of those that stand out."""

  header: Sequence[str]
  rows: Sequence[Sequence[str]]
  bold: frozenset[tuple[int, int]] = frozenset()


class Picture(NamedTuple):
  """A PNG file."""

  path: Path
  text: str


Part = Heading | Text | Code | Table | Picture


def write_markdown(path: Path, title: str, parts: Sequence[Part]) -> None:
  """Pictures are linked by their place relative to the file's folder."""
  blocks = [f'# {title}', *(_markdown(part, path.parent) for part in parts)]
  write_text(path, '\n\n'.join(blocks) + '\n')


def write_html(path: Path, title: str, parts: Sequence[Part]) -> None:
  """One file that needs nothing else."""
  body = ''.join(_html(part) for part in parts)
  write_text(
    path,
    '<!doctype html><html lang="en"><head><meta charset="utf-8">'
    '<meta name="viewport" content="width=device-width"><link rel="icon" href="data:,">'
    f'<title>{html.escape(title)}</title><style>{_STYLE}</style></head>'
    f'<body><h1>{html.escape(title)}</h1>{body}</body></html>\n',
  )


def _markdown(part: Part, folder: Path) -> str:
  match part:
    case Heading(text):
      return f'## {text}'
    case Text(text):
      return text
    case Code(text):
      return f'```sh\n{text}\n```'
    case Picture(path, text):
      return f'![{text}]({path.relative_to(folder)})'
    case Table(header, rows, bold):
      lines = ['| ' + ' | '.join(header) + ' |', '|---' * len(header) + '|']
      for r, row in enumerate(rows):
        cells = [f'**{cell}**' if (r, c) in bold else cell for c, cell in enumerate(row)]
        lines.append('| ' + ' | '.join(cells) + ' |')
      return '\n'.join(lines)


def _html(part: Part) -> str:
  match part:
    case Heading(text):
      return f'<h2>{html.escape(text)}</h2>'
    case Text(text):
      return f'<p>{html.escape(text)}</p>'
    case Code(text):
      return f'<pre>{html.escape(text)}</pre>'
    case Picture(path, text):
      data = base64.b64encode(path.read_bytes()).decode()
      return f'<img alt="{html.escape(text)}" src="data:image/png;base64,{data}">'
    case Table(header, rows, bold):
      names = ''.join(f'<th>{html.escape(name)}</th>' for name in header)
      lines = ''.join(
        f'<tr>{"".join(_cell(cell, (r, c) in bold) for c, cell in enumerate(row))}</tr>'
        for r, row in enumerate(rows)
      )
      return f'<div class="wide"><table><tr>{names}</tr>{lines}</table></div>'


def _cell(text: str, bold: bool) -> str:
  text = html.escape(text)
  return f'<td><b>{text}</b></td>' if bold else f'<td>{text}</td>'
