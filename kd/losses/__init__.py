"""Losses by what they compare, the terms of a run, and its objective.

Shapes: B examples, L tokens, H width, h heads, d width of a head, C classes, P mapped layers. S is
the student's side, T the teacher's. `mask` is (B, L), true for tokens that are not padding.

Every loss of `logits`, `vectors`, `attention` and `relations` takes tensors of student and teacher
and returns a scalar in fp32: the mean over valid units (tokens, pairs, rows, ...). It is 0 at
S = T, unless its docstring says otherwise. Padding never changes it, whatever numbers (up to 1e12)
it holds. A unit whose comparison is undefined does not count.

The losses do not detach T. `term` does that, because projections and mixtures of teacher features
need a gradient. `table` maps the names in `kd.axes.matchings` to functions.

May import `runtime`, `axes`, `data`, `encoders` and `study`.
"""
