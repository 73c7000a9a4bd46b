# SPDX-License-Identifier: GPL-3.0-or-later
"""The coarticulation model: closures close, vowels differ, pauses rest, the fit finds constants again."""

from dataclasses import replace

import numpy as np
import pytest

from core.lips import INDEX, SHUT, LipMap
from core.phones import KIND_NAMES, Phone
from core.training.data.fit_teacher import Design, Held, fit, part_lips, soften
from core.training.data.grid import TrackedClip, phones_of
from core.training.data.teacher import (
    READY,
    Teacher,
    closures,
    pull,
    raw_tracks,
    rest,
    with_ready,
)
from tests.core.said import mouth, say


@pytest.fixture(scope="module")
def lips():
    return LipMap.from_head()


@pytest.fixture(scope="module")
def teacher():
    return Teacher.fitted()


def during(times, values, phone):
    return values[(times >= phone.start) & (times <= phone.end)]


@pytest.mark.parametrize("sound", ["R", "TH", "DH", "HH", "T", "N", "L", "S", "SH", "K"])
def test_no_sound_but_p_b_and_m_shuts_the_lips(teacher, lips, sound):
    phones = say("AA", sound, "AA")
    times, found = mouth(teacher, lips, phones)
    assert during(times, found @ lips.gap, phones[2]).min() > 2 * SHUT


@pytest.mark.parametrize("stop", ["P", "B", "M"])
@pytest.mark.parametrize("vowel", ["AA", "IY", "UW"])
def test_bilabials_close_the_lips_between_any_vowels(teacher, lips, stop, vowel):
    phones = say(vowel, stop, vowel)
    times, found = mouth(teacher, lips, phones)
    gap = found @ lips.gap
    assert during(times, gap, phones[2]).min() < 0.004
    if vowel == "AA":
        assert during(times, gap, phones[1]).max() > 0.06
        assert during(times, found[:, INDEX["mouthClose"]], phones[2]).max() > 0.02


def test_rounded_and_spread_vowels_differ(teacher, lips):
    phones = say("T", "UW", "T", "T", "IY", "T")
    times, found = mouth(teacher, lips, phones)
    width = found @ lips.width
    assert during(times, width, phones[2]).min() < -0.03 < 0.01 < during(times, width, phones[5]).max()
    assert during(times, found[:, INDEX["mouthPucker"]], phones[2]).max() > 0.2


def test_long_silence_rests_and_is_still(teacher, lips):
    times, found = mouth(teacher, lips, say("AA", "T", "AA", pause=1.0))
    assert np.abs(found[times < 0.6]).max() < 1e-3
    assert np.abs(found[times > times[-1] - 0.5]).max() < 1e-3


def test_pull_is_shared_out():
    phones = say("AA", "M", "IY")
    share = pull(np.arange(0, 1.3, 0.02), phones, Teacher.starting().track["gap"])
    np.testing.assert_allclose(share.sum(1), 1)
    assert share[round(0.56 / 0.02)].argmax() == 1


def test_short_phones_undershoot():
    track = replace(Teacher.starting().track["gap"], undershoot=1.0)
    shares = []
    for length in (0.04, 0.08, 0.16):
        phones = [Phone("T", 0, 0.3), Phone("AA", 0.3, 0.3 + length), Phone("T", 0.3 + length, 0.8)]
        shares.append(pull(np.array([0.3 + length / 2]), phones, track)[0, 1])
    assert shares[0] < shares[1] < shares[2]


def test_closures_end_at_the_release_and_begin_early_after_a_pause():
    vowel = Phone("AA", 0.9, 1.0)
    (start, end), = closures([vowel, Phone("P", 1.0, 1.12)])
    assert (start, end) == (1.0, pytest.approx(1.08))
    (start, _), = closures([vowel, Phone("B", 1.0, 1.12)])
    assert start == pytest.approx(0.985)
    (start, _), = closures([Phone("SIL", 0.0, 1.0), Phone("P", 1.0, 1.12)])
    assert start == pytest.approx(0.91)
    (start, _), = closures([Phone("SIL", 0.9, 1.0), Phone("P", 1.0, 1.12)])
    assert start == pytest.approx(0.97)


def test_short_pauses_do_not_rest():
    phones = [Phone("AA", 0, 0.5), Phone("SIL", 0.5, 0.7), Phone("AA", 0.7, 1.0)]
    assert rest(np.arange(0, 1, 0.02), phones).min() == 1
    assert with_ready(phones) == phones


@pytest.mark.parametrize("pause", [0.3, 0.5, 1.0, 3.0])
def test_lips_part_before_speech_and_shut_after_it_within_the_pause(teacher, lips, pause):
    phones = [*say("AA", "T", "AA", pause=pause)[:-1], Phone("SIL", pause + 0.36, 2 * pause + 0.36),
              Phone("AA", 2 * pause + 0.36, 2 * pause + 0.5)]  # fmt: skip
    times, found = mouth(teacher, lips, phones)
    gap = found @ lips.gap
    # Before the first pause there may have been more silence: more of it belongs to the speech.
    for start, last, share in ((0.0, pause, 0.7), (pause + 0.36 + min(0.1, 0.4 * pause), 2 * pause + 0.36, 0.4)):
        still = (times >= start) & (times <= last - min(0.32, share * pause))
        assert gap[still].max() < 1e-3
        parted = (times > last - 0.06) & (times < last)
        assert gap[parted].min() > 0.02


def test_ready_is_cut_from_the_pause():
    said = with_ready(say("AA", pause=0.5))
    assert [p.kind for p in said] == ["SIL", READY, "AA", "SIL"]
    assert said[1].end - said[1].start == pytest.approx(0.32)
    assert said[0].end == said[1].start


@pytest.mark.parametrize("stop", ["P", "B", "M"])
def test_lips_stay_shut_before_a_sentence_that_begins_with_a_bilabial(teacher, lips, stop):
    phones = say(stop, "AA", "T", pause=1.0)
    times, found = mouth(teacher, lips, phones)
    assert (found @ lips.gap)[times < 1.0].max() < 0.012


def test_louder_opens_wider(teacher, lips):
    phones = say("T", "AA", "T")
    peaks = [(mouth(teacher, lips, phones, loud)[1] @ lips.gap).max() for loud in (0.6, 0.8, 1.0, 1.2)]
    assert np.all(np.diff(peaks) > 0)


def test_the_fitted_constants_are_of_the_kinds_and_come_back(teacher, tmp_path):
    teacher.save(tmp_path / "t.json")
    again = Teacher.fitted(tmp_path / "t.json")
    assert set(again.track) == {"gap", "jaw", "width", "shape"}
    for name, values in teacher.target.items():
        assert values.shape == (len(KIND_NAMES),)
        np.testing.assert_allclose(again.target[name], values, atol=1e-4)
    for name, track in teacher.track.items():
        assert (np.minimum(track.strength, np.minimum(track.lead, track.lag)) > 0).all(), name
    gap = dict(zip(KIND_NAMES, teacher.target["gap"]))
    assert max(gap["P"], gap["B"], gap["M"]) < 0.03 < gap["IH"] < gap["AA"]


def made_up(teacher, kinds, seed):
    """A film whose lips are what a teacher says."""
    phones = say(*kinds, each=0.1 + 0.02 * (seed % 3))
    times = np.arange(0, phones[-1].end, 0.04)
    track = raw_tracks(teacher, times, phones)
    return TrackedClip(str(seed), times, np.maximum(track["gap"], 0), track["width"],
                       np.maximum(track["jaw"], 0), phones, rest(times, phones), False)  # fmt: skip


def test_the_fit_finds_targets_again_and_softening_goes_half_way():
    start = Teacher.starting()
    wide, spread_ = KIND_NAMES.index("AA"), KIND_NAMES.index("IY")
    true = Teacher({n: v.copy() for n, v in start.target.items()}, start.track)
    true.target["gap"][wide] += 0.05
    true.target["width"][spread_] += 0.04
    rng = np.random.default_rng(0)
    clips = [made_up(true, rng.choice(["AA", "IY", "T", "S", "L"], 8), i) for i in range(10)]
    loud = [np.ones(len(c.times)) for c in clips]
    found = fit(Design.of(clips, loud), start, Held(target=1e-4), steps=150)
    again = fit(Design.of(clips, loud), start, Held(target=1e-4), steps=150)
    for clip in clips:
        said, wanted = raw_tracks(found, clip.times, clip.phones), raw_tracks(true, clip.times, clip.phones)
        heard = clip.speaking > 0.99
        for name, unit in (("gap", 0.02), ("width", 0.01)):
            assert np.abs(said[name] - wanted[name])[heard].mean() < unit / 2
    np.testing.assert_array_equal(found.target["gap"], again.target["gap"])
    half = soften(found, start, 0.5)
    np.testing.assert_allclose(half.target["gap"], (found.target["gap"] + start.target["gap"]) / 2)


def test_lips_of_other_sounds_are_parted_and_those_of_closures_left():
    start = Teacher.starting()
    track = replace(start.track["gap"], gain=1.25, offset=-0.01)
    shut = Teacher(start.target | {"gap": np.full(len(KIND_NAMES), -0.01)}, start.track | {"gap": track})
    found = part_lips(shut, start, 0.5)
    opened = dict(zip(KIND_NAMES, track.gain * found.target["gap"] + track.offset))
    assert {k for k, v in opened.items() if v < 0} == {"SIL", "P", "B", "M"}
    assert opened["R"] == pytest.approx(0.5 * 0.045)
    np.testing.assert_array_equal(part_lips(start, start).target["gap"], start.target["gap"])


def test_the_h_of_white_is_a_part_of_its_w():
    white = phones_of([["HH", 0.1, 0.2], ["W", 0.2, 0.3, 0.5], ["AY", 0.3, 0.5, 0.5], ["HH", 0.5, 0.6]])
    assert [p.kind for p in white] == ["W", "AA", "IH", "HH"]
    assert white[0] == Phone("W", 0.1, 0.3)
    assert [p.kind for p in phones_of([["HH", 0, 1], ["AE", 1, 2], ["HH", 2, 3], ["+X+", 3, 4]])] == ["HH", "AE", "HH"]
