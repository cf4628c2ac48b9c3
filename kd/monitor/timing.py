"""The time of the work that is left of a study: by rule, its longest chain, and with more devices.

Each job takes one device. With n of them, the whole takes at least its longest chain of jobs that
wait for each other, and at least a share of 1/n of the work. It takes at most
work / n + (1 - 1/n) x chain, whatever the order in which jobs that can start are started
(Graham 1969, SIAM J. Appl. Math. 17(2), theorem 1).
"""

from collections import defaultdict
from functools import cache
from typing import Any

from kd.axes.errata import PADDED, errata_of
from kd.monitor import costs
from kd.monitor.estimate import extra_flops
from kd.monitor.measured import Correction, corrections, devices, of_device, samples, sizes_of
from kd.monitor.rates import Rates, rates_of
from kd.monitor.todo import DRAWING, Todo
from kd.study.extra import Extra
from kd.study.grid import Grid
from kd.study.paths import Layout
from kd.study.run import Run
from kd.study.stage import Stage
from kd.study.teacher import Teacher
from kd.study.teacher_outputs import keys_of, need_of

_UNPACKED = 3e5  # tokens of a corpus that are packed in a second


def time_of(
    grid: Grid, layout: Layout, todo: Todo, device: str | None = None, count: int = 1
) -> dict[str, Any]:
    """Hours of what is left.

    Returns:
        `hours` in all on one device; `rules`: {rule: {jobs, hours, basis}}; `device`, `rates_from`
        (assumed, calibration) and `trainings` (those that correct the model), `spread` (the range
        of the middle half of measured over estimated); `starts` (hours that jobs take to start);
        `chain` (the jobs of the longest chain, with hours) and `chain_hours`; `devices`; and
        `wall_hours`, the shortest and the longest with that many.

    Raises:
        UserError: nothing is known of the device.
    """
    known = samples(grid, layout)
    rates = rates_of(device, layout, devices(known))
    measured = corrections(of_device(known, rates.device), rates)
    seconds = _Seconds(rates, measured, sizes_of(grid, layout), len(grid.runs), todo)
    by_rule = seconds.by_rule()
    hours = {rule: sum(each) / 3600 for rule, each in by_rule.items()}
    chain = [(name, value / 3600) for name, value in seconds.longest_chain()]
    starts = sum(job > costs.TAKEN for each in by_rule.values() for job in each)
    work, longest = sum(hours.values()), sum(value for _, value in chain)
    trained = measured["distil"] if measured["distil"].jobs else measured["teacher"]
    return {
        "hours": work,
        "device": rates.device,
        "rates_from": rates.basis,
        "trainings": trained.jobs,
        "spread": [trained.low / trained.factor, trained.high / trained.factor],
        "rules": {
            rule: {"jobs": len(each), "hours": hours[rule], "basis": seconds.basis(rule)}
            for rule, each in by_rule.items()
            if each
        },
        "starts": starts * seconds.start / 3600,
        "chain": chain,
        "chain_hours": longest,
        "devices": count,
        "wall_hours": [max(longest, work / count), work / count + (1 - 1 / count) * longest],
    }


class _Seconds:
    """Seconds of the jobs that are left, on one device."""

    def __init__(
        self,
        rates: Rates,
        measured: dict[str, Correction],
        sizes: dict[tuple[str, str, str], tuple[float, float]],
        runs: int,
        todo: Todo,
    ) -> None:
        # Where no student is done, its teachers tell how fast trainings are, and the reverse.
        students, teachers = measured["distil"], measured["teacher"]
        self.measured = {
            **measured,
            "distil": students if students.jobs else teachers,
            "teacher": teachers if teachers.jobs else students,
        }
        self.rates, self.sizes, self.todo, self.runs = rates, sizes, todo, runs
        self.start = rates.start * measured["start"].factor
        self._distil: dict[str, float] = {}  # by run: both the sum and the chain ask for it
        self._untrained = {run.id for run in todo.untrained}

    def basis(self, rule: str) -> str:
        """Where the seconds of a rule come from: measured, calibrated or assumed."""
        if self.measured.get(rule, Correction()).jobs:
            return "measured"
        modelled = rule in ("distil", "teacher", "stage", "outputs", "evaluate")
        calibrated = modelled and self.rates.basis == "calibration"
        return "calibrated" if calibrated else "assumed"

    def by_rule(self) -> dict[str, list[float]]:
        """{rule: seconds of each of its jobs}."""
        todo = self.todo
        tokenised = {(o.data_id, o.task, o.tokens_id): r for r in todo.left for o in (r, r.teacher)}
        return {
            "data": [self.start] * len(todo.text),
            "extra": [self.extend(run, extra) for run, extra in todo.extended],
            "tokenise": [
                self.start + costs.tokenise_seconds(tokenised[place])
                for place in todo.tokens
                if place in tokenised
            ],
            "teacher": [self.teach(run) for run in todo.untaught],
            "outputs": self._output_jobs(),
            "corpus": [self.pack(stage) for stage in todo.unpacked],
            "stage": [self.stage(stage) for stage in todo.unstaged],
            "distil": [self.distil(run) for run in todo.untrained],
            "evaluate": [self.evaluate(run) for run in todo.left],
            **{
                rule: [self.start + costs.drawing_seconds(self.runs)] * todo.drawn
                for rule in DRAWING
            },
        }

    def longest_chain(self) -> list[tuple[str, float]]:
        """The jobs, one after the other, that take the longest: (rule, seconds)."""
        untaught = {run.teacher.id: run for run in self.todo.untaught}
        left, stored = {run.id for run in self.todo.left}, self.outputs()
        unpacked = {stage.corpus_id for stage in self.todo.unpacked}
        staged = {
            stage.id: self.stage(stage) + self.pack(stage) * (stage.corpus_id in unpacked)
            for stage in self.todo.unstaged
        }
        extended = {extra.id: self.extend(run, extra) for run, extra in self.todo.extended}
        untrained = {run.id for run in self.todo.untrained}

        def taught(teacher: Teacher) -> float:
            """Until a teacher is there: after its candidates, or the run whose student it is."""
            if teacher.id not in untaught:
                return 0.0
            earlier = max(map(taught, teacher.candidates), default=0.0)
            if teacher.student_of and teacher.student_of.id in left:
                earlier = sum(steps(teacher.student_of).values())
            return earlier + self.teach(untaught[teacher.id])

        def steps(run: Run) -> dict[str, float]:
            before = {
                "data and tokens": self._prepare(run),
                "extra": max((extended.get(extra.id, 0.0) for extra in run.extras), default=0.0),
                "teacher": taught_once(run.teacher) if run.needs_teacher else 0.0,
                "outputs": stored.get((run.teacher.id, run.tokens_id), 0.0)
                if run.id in untrained and keys_of(run)
                else 0.0,
            }
            stage = staged.get(run.stage.id, 0.0) if run.stage else 0.0
            return {
                # A stage waits for its corpus alone, so the longer of the two branches counts.
                **({"stage": stage} if stage > sum(before.values()) else before),
                "distil": self.distil(run) if run.id in untrained else 0.0,
                "evaluate": self.evaluate(run),
            }

        taught_once = cache(taught)
        longest: list[tuple[str, float]] = []
        for run in self.todo.left:
            made = steps(run)
            if sum(made.values()) > sum(value for _, value in longest):
                longest = [(name, value) for name, value in made.items() if value]
        draw = self.start + costs.drawing_seconds(self.runs)
        drawn = ("collect", "tables", "figures", "report")
        return longest + [(rule, draw) for rule in drawn if self.todo.drawn]

    def _prepare(self, run: Run) -> float:
        place = (run.data_id, run.task, run.tokens_id)
        seconds = self.start if place[:2] in self.todo.text else 0.0
        if place in self.todo.tokens:
            seconds += self.start + costs.tokenise_seconds(run)
        return seconds

    def _size(self, owner: Any) -> tuple[float, float]:
        return self.sizes[owner.data_id, owner.task, owner.tokens_id]

    def teach(self, run: Run) -> float:
        """Of a teacher, with its evaluation; of one that is a link, the start of its job."""
        if run.teacher.is_linked:
            return self.start
        size = self.sizes.get(
            (run.teacher.data_id, run.teacher.task, run.teacher.tokens_id)
        ) or self._size(run)
        trained = costs.teacher_seconds(run, self.rates, size) * self.measured["teacher"].factor
        return self.start + trained + self._evaluated(run, run.teacher.encoder.shape, size)

    def extend(self, run: Run, extra: Extra) -> float:
        """Of making extra examples."""
        return self.start + extra_flops(run, extra) / self.rates.forward

    def distil(self, run: Run) -> float:
        """Of the training of a student, whose process evaluates it too."""
        if run.id in self._distil:
            return self._distil[run.id]
        owner, keys = (run.teacher.id, run.tokens_id), keys_of(run)
        computes = any((*owner, key) in self.todo.outputs.computed for key in keys)
        live = bool(run.terms) and (computes or not keys)
        errata, (examples, length) = errata_of(run.values["errata"]), self._size(run)
        live = live or "teacher-in-training" in errata
        length = run.values["max_length"] if errata & PADDED else length
        trained = costs.distil_seconds(run, self.rates, (examples, length), live)
        trained *= self.measured["distil"].factor
        self._distil[run.id] = self.start + trained + self._evaluated_student(run)
        return self._distil[run.id]

    def evaluate(self, run: Run) -> float:
        """Of the evaluation of a student, or of taking it from the job of its training."""
        if run.id in self._untrained:
            return costs.TAKEN
        return self.start + self._evaluated_student(run)

    def _evaluated_student(self, run: Run) -> float:
        return self._evaluated(run, costs.sized(run.spec["student"]), self._size(run))

    def _evaluated(self, run: Run, shape: Any, size: tuple[float, float]) -> float:
        seconds = costs.evaluation_seconds(shape, self.rates, size, costs.dev_examples(run))
        return seconds * self.measured["evaluate"].factor

    def stage(self, stage: Stage) -> float:
        """Of the training of a stage."""
        trained = costs.stage_seconds(stage, self.rates)
        return self.start + trained * self.measured["distil"].factor

    def pack(self, stage: Stage) -> float:
        """Of the packing of a corpus."""
        return self.start + stage.tokens / _UNPACKED

    def _output_jobs(self) -> list[float]:
        """Of all jobs of rule `outputs`: those that find everything stored load no torch."""
        stored = self.outputs()
        needs = {(r.teacher.id, r.tokens_id, need_of(r)) for r in self.todo.untrained}
        jobs = sum(bool(need) and (teacher, name) in stored for teacher, name, need in needs)
        return [*stored.values(), *[costs.TAKEN] * (jobs - len(stored))]

    def outputs(self) -> dict[tuple[str, str], float]:
        """{(teacher, tokens): seconds} of storing the outputs of a teacher. One job of each stores
        all of them; the others find them there."""
        sizes = defaultdict[tuple[str, str], int](int)
        for (teacher, name, _), size in self.todo.outputs.new.items():
            sizes[teacher, name] += size
        seconds = {}
        for run in self.todo.untrained:
            place = (run.teacher.id, run.tokens_id)
            if place in sizes and place not in seconds:
                examples, tokens = self._size(run)
                examples += costs.extra_examples(run, examples)
                shape = run.teacher.encoder.shape
                forward = costs.forward_seconds(shape, examples, tokens, self.rates)
                forward *= self.measured["evaluate"].factor
                seconds[place] = self.start + forward + sizes[place] / self.rates.disk
        return seconds
