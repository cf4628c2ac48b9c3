"""The losses' formulas, one number after the other, in double precision.

A unit whose comparison is undefined is None, and no unit; the mean of no unit is 0.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from itertools import permutations

from loss_cases import Case
from torch import Tensor

Vector = list[float]
Rows = list[list[Vector]]  # head, query, valid keys
NOTHING = 1e-12


def mean(values: Iterable[float | None]) -> float:
    units = [value for value in values if value is not None]
    return sum(units) / len(units) if units else 0.0


def dot(x: Vector, y: Vector) -> float:
    return sum(a * b for a, b in zip(x, y, strict=True))


def norm(x: Vector) -> float:
    return math.sqrt(dot(x, x))


def cosine(x: Vector, y: Vector) -> float | None:
    sizes = norm(x) * norm(y)
    return dot(x, y) / sizes if sizes > NOTHING else None


def apart(x: Vector, y: Vector) -> float | None:
    c = cosine(x, y)
    return None if c is None else 1 - c


def minus(x: Vector, y: Vector) -> Vector:
    return [a - b for a, b in zip(x, y, strict=True)]


def unit(x: Vector) -> Vector:
    return [a / norm(x) for a in x]


def less_mean(x: Vector) -> Vector:
    return [a - mean(x) for a in x]


def squares(x: Vector, y: Vector) -> Vector:
    return [(a - b) ** 2 for a, b in zip(x, y, strict=True)]


def directions_apart(x: Vector, y: Vector) -> float | None:
    return sum(squares(unit(x), unit(y))) if min(norm(x), norm(y)) > NOTHING else None


def softmax(x: Vector, temperature: float = 1) -> Vector:
    exps = [math.exp((a - max(x)) / temperature) for a in x]
    return [e / sum(exps) for e in exps]


def kl(teacher: Vector, student: Vector) -> float:
    return sum(t * math.log(t / s) for t, s in zip(teacher, student, strict=True))


def entropy(x: Vector) -> float:
    return -sum(p * math.log(p) for p in x)


def square(x: float) -> float:
    return x * x


def huber(x: float) -> float:
    return x * x / 2 if abs(x) <= 1 else abs(x) - 0.5


def compare(loss: Callable[[float], float], s: float | None, t: float | None) -> float | None:
    return None if s is None or t is None else loss(s - t)


# --- what the tensors hold -----------------------------------------------------------------------


def vector_pairs(case: Case) -> list[tuple[Vector, Vector]]:
    return list(zip(case.student[0].tolist(), case.teacher[0].tolist(), strict=True))


def places(case: Case) -> list[list[int]]:
    """Of each example, the positions of its valid tokens."""
    return [[i for i, valid in enumerate(row) if valid] for row in case.mask.tolist()]


def valid_tokens(case: Case) -> Iterator[tuple[list[Vector], list[Vector]]]:
    """Example after example, the vectors of its real tokens: (student's, teacher's)."""
    s, t = case.student[0].tolist(), case.teacher[0].tolist()
    for b, real in enumerate(places(case)):
        yield [s[b][i] for i in real], [t[b][i] for i in real]


def token_pairs(case: Case) -> list[tuple[Vector, Vector]]:
    return [pair for s, t in valid_tokens(case) for pair in zip(s, t, strict=True)]


def pooled(case: Case) -> list[tuple[Vector, Vector]]:
    """Of each example, the mean of its real tokens: (student's, teacher's)."""

    def middle(x: list[Vector]) -> Vector:
        return [mean(column) for column in zip(*x, strict=True)]

    return [(middle(s), middle(t)) for s, t in valid_tokens(case)]


def layers(case: Case) -> Iterator[tuple[list[Vector], list[Vector]]]:
    """Real token after real token, its vectors in all layers: (student's, teacher's)."""
    s, t = case.student[0].tolist(), case.teacher[0].tolist()
    for b, real in enumerate(places(case)):
        for i in real:
            yield [layer[b][i] for layer in s], [layer[b][i] for layer in t]


def valid_scores(case: Case) -> Iterator[tuple[Rows, Rows]]:
    """Example after example, the scores of its real queries and keys: (student's, teacher's)."""
    for b, real in enumerate(places(case)):
        sides = []
        for scores in (case.student[0].tolist(), case.teacher[0].tolist()):
            sides.append([[[head[i][j] for j in real] for i in real] for head in scores[b]])
        yield sides[0], sides[1]


def valid_maps(case: Case) -> Iterator[tuple[Rows, Rows]]:
    for s, t in valid_scores(case):
        yield [[softmax(q) for q in h] for h in s], [[softmax(q) for q in h] for h in t]


# --- labels that stand each by itself ------------------------------------------------------------


def of_each_label(case: Case) -> Iterator[tuple[float, Vector, Vector]]:
    """tau, and [p, 1 - p] of student and teacher, of every label of every example."""
    tau = case.options["temperature"]
    for s, t in vector_pairs(case):
        for pair in zip(s, t, strict=True):
            p, q = (1 / (1 + math.exp(-z / tau)) for z in pair)
            yield tau, [p, 1 - p], [q, 1 - q]


def labels_js(case: Case) -> float:
    beta, values = case.options["beta"], []
    for tau, s, t in of_each_label(case):
        middle = [beta * b + (1 - beta) * a for a, b in zip(s, t, strict=True)]
        values.append(tau**2 * (beta * kl(t, middle) + (1 - beta) * kl(s, middle)))
    return mean(values)


# --- logits ---------------------------------------------------------------------------------------


def temperatures(case: Case) -> Vector:
    tau = case.options["temperature"]
    return tau.tolist() if isinstance(tau, Tensor) else [tau] * len(case.mask)


def softened(case: Case) -> Iterator[tuple[float, Vector, Vector]]:
    for tau, (s, t) in zip(temperatures(case), vector_pairs(case), strict=True):
        yield tau, softmax(s, tau), softmax(t, tau)


def logits_kl(case: Case) -> float:
    return mean(tau**2 * kl(t, s) for tau, s, t in softened(case))


def logits_ce(case: Case) -> float:
    return mean(tau**2 * (kl(t, s) + entropy(t)) for tau, s, t in softened(case))


def uncorrelated(x: Vector, y: Vector) -> float | None:
    """1 - Pearson's correlation."""
    return apart(less_mean(x), less_mean(y))


def logits_dist(case: Case) -> float:
    taus, s, t = zip(*softened(case), strict=True)
    inter = []
    for tau, x, y in zip(taus, s, t, strict=True):
        r = uncorrelated(x, y)
        inter.append(None if r is None else tau**2 * r)
    classes = zip(zip(*s, strict=True), zip(*t, strict=True), strict=True)
    intra = mean(uncorrelated(list(x), list(y)) for x, y in classes)
    return mean(inter) + mean(tau**2 for tau in taus) * intra


def logits_std(case: Case) -> float:
    def score(x: Vector) -> Vector | None:
        deviation = math.sqrt(mean(a * a for a in less_mean(x)))
        return [a / deviation for a in less_mean(x)] if deviation > NOTHING else None

    values = []
    for tau, (s, t) in zip(temperatures(case), vector_pairs(case), strict=True):
        x, y = score(s), score(t)
        if x is not None and y is not None:
            values.append(tau**2 * kl(softmax(y, tau), softmax(x, tau)))
    return mean(values)


def logits_js(case: Case) -> float:
    beta, values = case.options["beta"], []
    for tau, s, t in softened(case):
        middle = [beta * b + (1 - beta) * a for a, b in zip(s, t, strict=True)]
        values.append(tau**2 * (beta * kl(t, middle) + (1 - beta) * kl(s, middle)))
    return mean(values)


def logits_dkd(case: Case) -> float:
    alpha, beta = case.options["alpha"], case.options["beta"]
    values = []
    for label, (tau, s, t) in zip(case.labels.tolist(), softened(case), strict=True):
        target = [[x[label], 1 - x[label]] for x in (t, s)]
        rest = [[p / (1 - x[label]) for i, p in enumerate(x) if i != label] for x in (t, s)]
        values.append(tau**2 * (alpha * kl(*target) + beta * kl(*rest)))
    return mean(values)


def logits_ranknet(case: Case) -> float:
    def above(x: Vector, i: int, j: int, tau: float) -> Vector:
        p = 1 / (1 + math.exp((x[j] - x[i]) / tau))
        return [p, 1 - p]

    return mean(
        tau**2
        * mean(
            kl(above(t, i, j, tau), above(s, i, j, tau)) for i in range(len(s)) for j in range(i)
        )
        for tau, (s, t) in zip(temperatures(case), vector_pairs(case), strict=True)
    )


# --- tokens ---------------------------------------------------------------------------------------


def token_gram(case: Case) -> float:
    def gram(x: list[Vector]) -> list[Vector]:
        width = range(len(x[0]))
        return [[sum(v[i] * v[j] for v in x) / len(x) for j in width] for i in width]

    return mean(
        difference
        for s, t in valid_tokens(case)
        for a, b in zip(gram(s), gram(t), strict=True)
        for difference in squares(a, b)
    )


def token_nst(case: Case) -> float:
    return mean(
        (dot(s[i], s[j]) / len(s[0]) - dot(t[i], t[j]) / len(t[0])) ** 2
        for s, t in valid_tokens(case)
        for i in range(len(s))
        for j in range(len(s))
    )


def token_cka(case: Case) -> float:
    """1 - HSIC(K, L) / sqrt(HSIC(K, K) HSIC(L, L)) of the centred kernels (Kornblith, eq. 3)."""

    def kernel(x: list[Vector]) -> list[Vector]:
        middle = [mean(column) for column in zip(*x, strict=True)]
        around = [minus(v, middle) for v in x]
        return [[dot(v, w) for w in around] for v in around]

    s = [a for row in kernel([v for x, _ in valid_tokens(case) for v in x]) for a in row]
    t = [a for row in kernel([v for _, x in valid_tokens(case) for v in x]) for a in row]
    return mean([apart(s, t)])


# --- relations between examples, tokens, layers --------------------------------------------------


def sp(pairs: list[tuple[Vector, Vector]]) -> float:
    sides = list(zip(*pairs, strict=True))
    values: list[float] = []
    for i in range(len(pairs)):
        s, t = ([dot(x[i], other) for other in x] for x in sides)
        if min(norm(s), norm(t)) > NOTHING:
            values += squares(unit(s), unit(t))
    return mean(values)


def rkd_distance(pairs: list[tuple[Vector, Vector]]) -> float:
    two = list(permutations(range(len(pairs)), 2))
    sides = []
    for x in zip(*pairs, strict=True):
        distances = [norm(minus(x[i], x[j])) for i, j in two]
        average = mean(distances)
        sides.append([d / average if average > NOTHING else None for d in distances])
    return mean(compare(huber, s, t) for s, t in zip(*sides, strict=True))


def angle(x: list[Vector], i: int, j: int, k: int) -> float | None:
    """Cosine of the angle at x[i] between x[j] and x[k]."""
    return cosine(minus(x[j], x[i]), minus(x[k], x[i]))


def rkd_angle(pairs: list[tuple[Vector, Vector]]) -> float:
    s, t = zip(*pairs, strict=True)
    triples = permutations(range(len(pairs)), 3)
    return mean(compare(huber, angle(s, *ijk), angle(t, *ijk)) for ijk in triples)


def triplet_angle(case: Case, loss: Callable[[float], float]) -> float:
    reach = case.options["window"] // 2
    s, t = case.student[0].tolist(), case.teacher[0].tolist()
    return mean(
        compare(loss, angle(s[b], i, j, k), angle(t[b], i, j, k))
        for b, real in enumerate(places(case))
        for i, j, k in permutations(real, 3)
        if abs(i - j) <= reach and abs(i - k) <= reach
    )


def others_kl(groups: Iterable[tuple[list[Vector], list[Vector]]]) -> float:
    values = []
    for s, t in groups:
        real = [i for i in range(len(s)) if min(norm(s[i]), norm(t[i])) > NOTHING]
        for i in real:
            others = [j for j in real if j != i]
            if others:
                p, q = (softmax([cosine(x[i], x[j]) for j in others]) for x in (s, t))
                values.append(kl(q, p))
    return mean(values)


def layer_relation_angle(case: Case) -> float:
    return mean(
        compare(square, angle(s, *ijk), angle(t, *ijk))
        for s, t in layers(case)
        for ijk in permutations(range(len(s)), 3)
    )


def vector_contrastive(case: Case) -> float:
    tau = case.options["temperature"]
    pairs = [(s, t) for s, t in vector_pairs(case) if min(norm(s), norm(t)) > NOTHING]
    return mean(
        -math.log(softmax([cosine(s, t) for _, t in pairs], tau)[i])
        for i, (s, _) in enumerate(pairs)
    )


# --- attention ------------------------------------------------------------------------------------


def head_mean(rows: Rows) -> Rows:
    keys = range(len(rows[0]))
    return [[[mean(head[i][j] for head in rows) for j in keys] for i in keys]]


def over_rows(
    sides: Iterator[tuple[Rows, Rows]],
    compare: Callable[[Vector, Vector], Iterable[float | None]],
    average: bool = False,
) -> float:
    """Mean of compare(student row, teacher row) over examples, heads and queries."""
    values: list[float | None] = []
    for s, t in sides:
        if average:
            s, t = head_mean(s), head_mean(t)
        for student_head, teacher_head in zip(s, t, strict=True):
            for student_row, teacher_row in zip(student_head, teacher_head, strict=True):
                values += compare(student_row, teacher_row)
    return mean(values)


def row_kl(s: Vector, t: Vector) -> list[float]:
    return [kl(t, s)]


def row_cosine(s: Vector, t: Vector) -> list[float | None]:
    return [apart(s, t)]


def relation_kl(case: Case) -> float:
    """Heads joined, split into relation heads, softmax(x . y / sqrt(d_r)) per query row."""
    count = case.options["relation_heads"]

    def tokens(x: Tensor, b: int, real: list[int]) -> list[Vector]:
        heads = x.tolist()[b]
        return [[a for head in heads for a in head[i]] for i in real]

    def maps(x: list[Vector], y: list[Vector], relation: int) -> list[Vector]:
        size = len(x[0]) // count
        part = slice(relation * size, (relation + 1) * size)
        return [softmax([dot(v[part], w[part]) / math.sqrt(size) for w in y]) for v in x]

    values = []
    for b, real in enumerate(places(case)):
        student = [tokens(x, b, real) for x in case.student]
        teacher = [tokens(x, b, real) for x in case.teacher]
        for r in range(count):
            s, t = maps(*student, r), maps(*teacher, r)
            values += [kl(q, p) for p, q in zip(s, t, strict=True)]
    return mean(values)


REFERENCES: dict[str, Callable[[Case], float]] = {
    "logits_kl": logits_kl,
    "logits_ce": logits_ce,
    "logits_mse": lambda c: mean(x for s, t in vector_pairs(c) for x in squares(s, t)),
    "logits_dist": logits_dist,
    "logits_std": logits_std,
    "logits_reverse_kl": lambda c: mean(tau**2 * kl(s, t) for tau, s, t in softened(c)),
    "logits_js": logits_js,
    "logits_tv": lambda c: mean(
        tau**2 * sum(max(a - b, 0) for a, b in zip(s, t, strict=True)) for tau, s, t in softened(c)
    ),
    "logits_dkd": logits_dkd,
    "logits_ranknet": logits_ranknet,
    "labels_kl": lambda c: mean(tau**2 * kl(t, s) for tau, s, t in of_each_label(c)),
    "labels_ce": lambda c: mean(tau**2 * (kl(t, s) + entropy(t)) for tau, s, t in of_each_label(c)),
    "labels_reverse_kl": lambda c: mean(tau**2 * kl(s, t) for tau, s, t in of_each_label(c)),
    "labels_js": labels_js,
    "labels_tv": lambda c: mean(tau**2 * abs(s[0] - t[0]) for tau, s, t in of_each_label(c)),
    "token_mse": lambda c: mean(x for s, t in token_pairs(c) for x in squares(s, t)),
    "token_mae": lambda c: mean(math.sqrt(x) for s, t in token_pairs(c) for x in squares(s, t)),
    "token_cosine": lambda c: mean(apart(s, t) for s, t in token_pairs(c)),
    "token_normalised_mse": lambda c: mean(directions_apart(s, t) for s, t in token_pairs(c)),
    "token_gram": token_gram,
    "token_nst": token_nst,
    "token_cka": token_cka,
    "token_sp": lambda c: sp(pooled(c)),
    "token_rkd_distance": lambda c: rkd_distance(pooled(c)),
    "token_rkd_angle": lambda c: rkd_angle(pooled(c)),
    "token_word_relation": lambda c: others_kl(valid_tokens(c)),
    "triplet_angle_mse": lambda c: triplet_angle(c, square),
    "triplet_angle_huber": lambda c: triplet_angle(c, huber),
    "vector_mse": lambda c: mean(x for s, t in vector_pairs(c) for x in squares(s, t)),
    "vector_cosine": lambda c: mean(apart(s, t) for s, t in vector_pairs(c)),
    "vector_normalised_mse": lambda c: mean(directions_apart(s, t) for s, t in vector_pairs(c)),
    "vector_contrastive": vector_contrastive,
    "vector_sp": lambda c: sp(vector_pairs(c)),
    "vector_rkd_distance": lambda c: rkd_distance(vector_pairs(c)),
    "vector_rkd_angle": lambda c: rkd_angle(vector_pairs(c)),
    "map_kl": lambda c: over_rows(valid_maps(c), row_kl),
    "map_mse": lambda c: over_rows(valid_maps(c), squares),
    "map_cosine": lambda c: over_rows(valid_maps(c), row_cosine),
    "map_head_mean_kl": lambda c: over_rows(valid_maps(c), row_kl, average=True),
    "map_head_mean_mse": lambda c: over_rows(valid_maps(c), squares, average=True),
    "map_head_mean_cosine": lambda c: over_rows(valid_maps(c), row_cosine, average=True),
    "score_mse": lambda c: over_rows(valid_scores(c), squares),
    "score_head_mean_mse": lambda c: over_rows(valid_scores(c), squares, average=True),
    "relation_kl": relation_kl,
    "layer_relation_kl": lambda c: others_kl(layers(c)),
    "layer_relation_angle": layer_relation_angle,
}
