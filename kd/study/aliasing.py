"""What a part of a grid can separate: its resolution, and which effects it mixes.

An effect can be separated from others if its contrasts can be estimated next to theirs, which is a
matter of ranks. So the definitions hold for axes of any number of values and for grids with gaps
(Webb 1968, "Non-orthogonal designs of even resolution", for the resolution of such designs).
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np

from kd.runtime.errors import listing

ROMAN = {2: "II", 3: "III", 4: "IV", 5: "V"}
_RANK = 1e-9  # relative eigenvalue of a direction that the cells do not have
_SHARE = 0.005  # a part of a contrast below which it is not mixed
_SHOWN = 4  # effects that are named one by one
_PARTNERS = 60  # pairs of axes above which nobody would read their partners
Pair = tuple[str, ...]  # one axis, or two for their interaction


@dataclass(frozen=True)
class Mixed:
    """What one effect is mixed with.

    It cannot be separated from any of `axes` (other effects that the study asks for), nor from any
    of the interactions `pairs`. `partly` has interactions with the share of its contrasts that they
    explain, from 0 to 1 (the mean R², as in Grömping and Xu 2014), the largest first. `clear`: it
    can be separated from all axes and from all interactions of two, its own too, taken together.
    """

    axes: tuple[Pair, ...] = ()
    pairs: tuple[Pair, ...] = ()
    partly: tuple[tuple[Pair, float], ...] = ()
    clear: bool = True


@dataclass(frozen=True)
class Aliasing:
    """What some cells mix.

    `resolution` is 2 where two axes cannot be separated, 3 where an axis is mixed with
    interactions of two axes, 4 where only such interactions are mixed with each other, and 5 where
    they are not. `effects` are the axes and the pairs that the study asks for; `unclear` are other
    pairs that are mixed with each other, and the pairs that each cannot be separated from.
    """

    resolution: int
    effects: dict[Pair, Mixed]
    unclear: dict[Pair, tuple[Pair, ...]] = field(default_factory=dict)


def contrasts(member: np.ndarray) -> np.ndarray:
    """(n, k - 1) orthogonal contrasts of an axis with k values, of mean square 1 in a full grid.

    `member` (n, k) has the share of each value that a cell stands for, with rows that add up to 1:
    one value, several, or all of them where the axis cannot affect the cell, which gives zeros.
    """
    k = member.shape[1]
    helmert = np.zeros((k, k - 1))
    for i in range(1, k):
        helmert[:i, i - 1], helmert[i, i - 1] = 1, -i
        helmert[:, i - 1] *= np.sqrt(k / (i * (i + 1)))
    return (member - 1 / k) @ helmert


def product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(n, ka · kb): the products of each column of `a` with each column of `b`."""
    return (a[:, :, None] * b[:, None, :]).reshape(len(a), -1)


def interaction(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The contrasts of an interaction, from those of its axes, over the cells that both affect.

    Where an axis has an effect with some values of the other alone (no mapping with the logits),
    the interaction is among these values.
    """
    both: np.ndarray = np.logical_and(np.any(a, axis=1), np.any(b, axis=1))
    codes = product(_among(a, both), _among(b, both))
    codes[~both] = 0
    return codes


def _among(code: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """The contrasts of an axis among the values that it has in these rows."""
    values, place = np.unique(code[rows].round(6), axis=0, return_inverse=True)
    if len(values) > code.shape[1]:
        return code
    codes = np.zeros((len(code), max(0, len(values) - 1)))
    if len(values) > 1:
        codes[rows] = contrasts(np.eye(len(values)))[place.ravel()]
    return codes


def aliasing(codes: Mapping[str, np.ndarray], pairs: Collection[Pair] = ()) -> Aliasing:
    """What the cells of `codes` mix; `codes` has the `contrasts` (n, k - 1) of each axis.

    `pairs` are pairs of axes that the study asks for like axes.
    """
    asked: list[Pair] = [*((axis,) for axis in codes), *(p for p in pairs if {*p} <= {*codes})]
    others: list[Pair] = [
        p for p in combinations(codes, 2) if not any({*p} == {*own} for own in asked)
    ]
    model = _Model(codes, [*asked, *others])
    every = model.rank(asked)
    whole = model.rank([*asked, *others])
    with_pair = {pair: model.rank([*asked, pair]) for pair in others}
    effects = {}
    for own in asked:
        rest = [other for other in asked if other != own]
        df = model.rank([own]) - 1
        if every - model.rank(rest) < df:
            axes = [o for o in rest if model.rank([own, o]) < df + model.rank([o])]
            effects[own] = Mixed(tuple(axes or rest), clear=False)
            continue
        same = [pair for pair in others if with_pair[pair] - model.rank([*rest, pair]) < df]
        clear = not same and whole - model.rank([*rest, *others]) == df
        shares = {} if clear else model.shares(own, rest, [p for p in others if p not in same])
        ordered = sorted(shares.items(), key=lambda item: -round(item[1], 6))
        effects[own] = Mixed(
            (), tuple(same), tuple(item for item in ordered if item[1] >= _SHARE), clear
        )
    unclear = {}
    dfs = {pair: with_pair[pair] - every for pair in others}
    for pair in others:
        left = [other for other in others if other != pair]
        own_df = model.rank([pair]) - 1
        if dfs[pair] < own_df or whole - model.rank([*asked, *left]) < own_df:
            unclear[pair] = tuple(
                o for o in left if model.rank([*asked, pair, o]) < every + own_df + dfs[o]
            ) if len(others) <= _PARTNERS else ()  # fmt: skip
    if any(mixed.axes for mixed in effects.values()):
        resolution = 2
    elif not all(mixed.clear for mixed in effects.values()):
        resolution = 3
    else:
        resolution = 4 if unclear else 5
    return Aliasing(resolution, effects, unclear)


class _Model:
    """Ranks and shares of variance of sets of effects, from the products of their columns."""

    def __init__(self, codes: Mapping[str, np.ndarray], effects: Sequence[Pair]) -> None:
        count = len(next(iter(codes.values())))
        columns = [np.ones((count, 1))]
        self._at: dict[Pair, slice] = {}
        place = 1
        for effect in effects:
            own = codes[effect[0]]
            if len(effect) > 1:
                own = interaction(own, codes[effect[1]])
            columns.append(own)
            self._at[effect] = slice(place, place + own.shape[1])
            place += own.shape[1]
        matrix = np.hstack(columns)
        self._gram = matrix.T @ matrix / count
        self._known: dict[frozenset[Pair], int] = {}

    def _rows(self, effects: Sequence[Pair]) -> np.ndarray:
        return np.concatenate([[0], *(np.r_[self._at[effect]] for effect in effects)]).astype(int)

    def rank(self, effects: Sequence[Pair]) -> int:
        """Of the mean and these effects together."""
        key = frozenset(effects)
        if key not in self._known:
            rows = self._rows(effects)
            size = np.linalg.eigvalsh(self._gram[np.ix_(rows, rows)])
            self._known[key] = int((size > _RANK * len(rows)).sum())
        return self._known[key]

    def shares(self, own: Pair, rest: Sequence[Pair], pairs: Sequence[Pair]) -> dict[Pair, float]:
        """The mean share of the contrasts of `own` that each pair explains, beside `rest`."""
        base = self._rows(rest)
        inverse = np.linalg.pinv(self._gram[np.ix_(base, base)], rcond=_RANK, hermitian=True)

        def left(a: Pair, b: Pair) -> np.ndarray:
            x, y = np.r_[self._at[a]], np.r_[self._at[b]]
            shared = self._gram[np.ix_(x, base)] @ inverse @ self._gram[np.ix_(base, y)]
            return self._gram[np.ix_(x, y)] - shared

        square = np.linalg.pinv(left(own, own), rcond=_RANK, hermitian=True)
        df = max(1, self.rank([own]) - 1)
        mean_shares = {}
        for pair in pairs:
            across, within = left(own, pair), left(pair, pair)
            inner = np.linalg.pinv(within, rcond=1e-7, hermitian=True)
            mean_shares[pair] = float(np.trace(square @ across @ inner @ across.T)) / df
        return mean_shares


def effect_name(effect: Pair) -> str:
    """'mapping', or 'mapping × student'."""
    return " × ".join(effect)


def _named(effects: Sequence[Pair]) -> str:
    names = [effect_name(effect) for effect in effects]
    return listing(names[:_SHOWN]) + (
        f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    )


def mixed_sentence(effect: Pair, mixed: Mixed) -> str:
    """What an effect is mixed with, in plain words; '' if it is clear."""
    name = effect_name(effect)
    if mixed.axes:
        return (
            f"{name} cannot be separated from {_named(mixed.axes)}, so differences that may be "
            f"either's are not given"
        )
    if mixed.pairs:
        several = len(mixed.pairs) > 1
        more = "interactions" if several else "interaction"
        return (
            f"{name} cannot be separated from the {more} {_named(mixed.pairs)}: what looks like "
            f"an effect of {name} may be {'theirs' if several else 'one of that interaction'}"
        )
    if mixed.partly:
        pair, share = mixed.partly[0]
        return (
            f"{name} is partly mixed with {len(mixed.partly)} interaction"
            f"{'s' * (len(mixed.partly) > 1)}, most with {effect_name(pair)} "
            f"({100 * share:.0f} % of its contrasts)"
        )
    return "" if mixed.clear else f"{name} is partly mixed with interactions taken together"


_MEANING = {
    2: "some axes cannot be separated from each other",
    3: "axes can be separated from each other, but not all of them from interactions of two axes",
    4: "axes can be separated from each other and from interactions of two axes; interactions "
    "cannot all be separated from each other",
    5: "axes and interactions of two axes can be separated from each other",
}


def sentences(mixing: Aliasing) -> list[str]:
    """The resolution, and what each effect is mixed with, in plain words."""
    more = " or higher" * (mixing.resolution == 5)
    told = [f"resolution {ROMAN[mixing.resolution]}{more}: {_MEANING[mixing.resolution]}"]
    told += filter(None, (mixed_sentence(e, mixed) for e, mixed in mixing.effects.items()))
    clear = [effect for effect, mixed in mixing.effects.items() if mixed.clear]
    if clear and mixing.resolution < 5:
        told.append(f"clear of other axes and of interactions of two: {_named(clear)}")
    told_before = {p for mixed in mixing.effects.values() for p in mixed.pairs}
    unclear = {p: others for p, others in mixing.unclear.items() if p not in told_before}
    groups = {frozenset([p, *others]) - told_before: None for p, others in unclear.items()}
    named = [sorted(group) for group in groups if 1 < len(group) <= _SHOWN]
    told += [
        "interactions that cannot be separated: " + " = ".join(map(effect_name, group))
        for group in named[:_SHOWN]
    ]
    if rest := len(unclear.keys() - {pair for group in named[:_SHOWN] for pair in group}):
        told.append(
            f"{rest} {'more ' * bool(named)}interaction{'s are' if rest > 1 else ' is'} mixed with "
            "others, and not judged"
        )
    return told
