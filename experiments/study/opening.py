"""What a report begins with: the terms of its results."""

from collections.abc import Iterator, Sequence

from experiments.study import protocols, tables
from experiments.study.cells import Result
from experiments.study.document import Part, Text
from experiments.study.protocols import PROTOCOLS


def summary(results: Sequence[Result], name: protocols.Name, missing: int = 0) -> Iterator[Part]:
  """The terms of the protocol of that name."""
  protocol = PROTOCOLS[name]
  selections = sorted({result.cell.selection for result in results})
  drawn = (
    'annotated images are drawn by a fixed seed from those that'
    f' {protocols.REPORTED} scores in no selection, and of the others at most'
    f' {protocol.max_test_images} are scored'
    if protocol.rehearsal
    else f'selections {", ".join(map(str, selections))} of annotated images; at most'
    f' {protocol.max_test_images} test images of each, drawn by a fixed seed from those that the'
    ' selection annotates for no K'
  )
  seeds = ', '.join(map(str, sorted({result.cell.seed for result in results})))
  yield Text(
    f'Protocol {name}: {drawn}; {protocol.training_steps:,} gradient steps on sources for'
    f' everything that is trained there ({PROTOCOLS["paper"].training_steps:,} in the paper),'
    f' {protocol.steps} steps of adaptation for all networks; seeds: {seeds}. IoU of the'
    ' foreground, mean over images, then mean ± standard deviation over selections. An image'
    ' without foreground counts 1 if nothing is found in it, and else 0.'
  )
  for code, k, selection, count in tables.of_other_shots(results):
    yield Text(f'{code}, K = {k}: selection {selection} annotates {count} images.')
  if missing:
    yield Text(f'Not finished: {missing} of the experiments are still to be done.')
