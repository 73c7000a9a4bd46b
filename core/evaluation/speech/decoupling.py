# SPDX-License-Identifier: GPL-3.0-or-later
"""What the two heads of the audio encoder carry: probes of emotion and of phones on both.

A probe is a classifier trained on a head's features of the training clips and judged on the clips kept
for testing, so by speakers that neither network nor probe has heard. Its figure is

    balanced accuracy - chance = mean over K classes of (share of the class found) - 1 / K.

Logistic regression and a network with one hidden layer are both tried, and the better on the unseen
voices counts: what a head must not carry is judged by the keener probe. A head's features are what it
passes on to the face: the neutral mouth of the lip head, the tone of the expression head; what lies
before the lip head's bottleneck is not probed. Both heads get the same examples, classes and windows:
the lip head's 50 Hz are averaged over the 0.1 s about each step of the expression head's 10 Hz.

- emotion: the true emotions of EmoDB (those with at least 5 utterances on either side); an example is
  an utterance, its features the mean and the standard deviation over the steps in which somebody
  speaks. All actors say the same sentences, so words tell nothing; loudness and pitch do, and so do
  the phones: the recordings are cut after 2 s, and who is sad has come less far by then. What the
  labelled phones alone tell (``from the phones``, the share of each kind of sound) is the least that
  any head which hears phones gives away.
- phones: the kinds of sound (without silence, and those with less than 30 examples on either side)
  at the steps' instants, labels as in the data; an example is a step. The longer reach of the
  expression head is its own.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from ...features import log_mel
from ...models.expression import ExpressionModel
from ...models.expression_network import LATENT_STRIDE
from ...phones import KIND_NAMES
from ...training.data.prepare import Clip
from ..table import Row, Target, at_least, at_most
from .classifier import balanced_accuracy, one_hot, train
from .signals import Array
from .voices import Bench

Labels = npt.NDArray[np.int64]

EMOTIONS: Final = "WLEAFTN"
"""EmoDB's letters: anger, boredom, disgust, anxiety, happiness, sadness, neutral"""
_SILENT: Final = KIND_NAMES.index("SIL")
_SPOKEN: Final = ("emodb", "librispeech", "vctk", "grid_s1")
_FEW, _LEAST = 5, 30
"""utterances of an emotion, steps of a sound, that there must be on either side"""
_MOST: Final = 20000
"""steps that a probe of phones learns from"""


Features = dict[str, Array]
"""(N, C) of each head, and of the phones"""


class Steps(NamedTuple):
    """What is heard in a clip, at the S steps of the expression head."""

    features: Features
    kind: Labels
    """(S,) kind of sound at the step's instant"""


class Examples(NamedTuple):
    """N examples."""

    features: Features
    label: Labels


def averaged(lip: Array, steps: int) -> Array:
    """(T, C) at 50 Hz to (S, C): mean over the five frames about each step's instant 5 s."""
    half = LATENT_STRIDE // 2
    frames = np.arange(steps)[:, None] * LATENT_STRIDE + np.arange(-half, half + 1)
    return np.asarray(lip[np.clip(frames, 0, len(lip) - 1)].mean(1))


@torch.inference_mode()
def steps_of(model: ExpressionModel, clip: Clip) -> Steps:
    """Run the encoder."""
    heard = model.network.encoder(torch.from_numpy(log_mel(clip.samples))[None])
    expression = heard.expression[0].double().numpy()
    count = len(expression)
    at = np.minimum(np.arange(count) * LATENT_STRIDE, len(clip.kind) - 1)
    said = one_hot(np.maximum(clip.kind, 0), len(KIND_NAMES))
    lip = averaged(model.network.neutral(heard)[0].double().numpy(), count)
    return Steps({"lip": lip, "expression": expression, "phones": averaged(said, count)},
                 clip.kind[at].astype(np.int64))  # fmt: skip


def utterances(clips: list[Clip], steps: list[Steps]) -> Examples:
    """One example a clip of EmoDB in which a sound is labelled."""
    spoken = [(c, s) for c, s in zip(clips, steps) if (s.kind != _SILENT).any()]

    def pooled(values: Array, kind: Labels) -> Array:
        heard = values[kind != _SILENT]
        return np.concatenate([heard.mean(0), heard.std(0)])

    features = {n: np.stack([pooled(s.features[n], s.kind) for _, s in spoken])
                for n in spoken[0][1].features}  # fmt: skip
    return Examples(features, np.array([EMOTIONS.index(c.name[5]) for c, _ in spoken]))


def sounds(steps: list[Steps]) -> Examples:
    """One example a step of speech."""
    features = {n: np.concatenate([s.features[n] for s in steps]) for n in steps[0].features}
    whole = Examples(features, np.concatenate([s.kind for s in steps]))
    return _where(whole, whole.label != _SILENT)


def common(seen: Examples, unseen: Examples, least: int) -> tuple[Examples, Examples, int]:
    """Examples of the classes frequent on both sides, their labels counted from 0; and how many."""
    classes = [k for k in np.unique(seen.label)
               if min((seen.label == k).sum(), (unseen.label == k).sum()) >= least]  # fmt: skip
    parts = []
    for part in (seen, unseen):
        kept = _where(part, np.isin(part.label, classes))
        parts.append(kept._replace(label=np.searchsorted(classes, kept.label)))
    return parts[0], parts[1], len(classes)


def _where(examples: Examples, rows: npt.NDArray[Any]) -> Examples:
    return Examples({n: v[rows] for n, v in examples.features.items()}, examples.label[rows])


def probe(seen: Examples, unseen: Examples, head: str, classes: int) -> dict[str, float]:
    """Balanced accuracy over chance of both probes on the features of one name."""
    wanted = one_hot(seen.label, classes)
    found = {}
    for name, hidden in (("logistic", ()), ("hidden layer", (32,))):
        model = train(seen.features[head], wanted, hidden)
        accuracy = balanced_accuracy(model.classes(unseen.features[head]), unseen.label)
        found[name] = accuracy - 1 / classes
    return found


def rows(bench: Bench) -> list[Row]:
    """The decoupling's part of the table."""
    model = bench.player.model
    heard = []
    for number, part in enumerate((bench.seen, bench.unseen), 1):
        clips = {corpus: part(corpus) for corpus in _SPOKEN}
        heard.append({n: (c, [steps_of(model, clip) for clip in c]) for n, c in clips.items()})
        bench.progress("heads", number, 2)
    known, unknown = (utterances(*side["emodb"]) for side in heard)
    emotion = common(known, unknown, _FEW)
    seen, unseen = (sounds([s for _, steps in side.values() for s in steps]) for side in heard)
    if len(seen.label) > _MOST:
        some = np.random.default_rng(0).choice(len(seen.label), _MOST, replace=False)
        seen = _where(seen, some)
    phones = common(seen, unseen, _LEAST)
    little, much = at_most(0.10), at_least(0.20)
    told = max(probe(*emotion[:2], "phones", emotion[2]).values())
    return [
        *_judged("emotion", emotion, {"lip": little, "expression": much}, {"from the phones": told}),
        *_judged("phones", phones, {"expression": little, "lip": much}, {}),
    ]


def _judged(
    what: str, examples: tuple[Examples, Examples, int], targets: dict[str, Target], beside: dict[str, float]
) -> list[Row]:
    seen, unseen, classes = examples
    heading = (f"decoupling: {what}, {classes} classes, chance {1 / classes:.3f} "
               f"({len(seen.label)} examples, {len(unseen.label)} unseen)")  # fmt: skip
    found = {head: probe(seen, unseen, head, classes) for head in targets}
    return [Row(heading, f"{what} from the {head} head, over chance", max(found[head].values()), target,
                found[head] | beside) for head, target in targets.items()]  # fmt: skip
