"""The paths of all files below results/, for the workflow's rules and all commands."""

from pathlib import Path

from kd.runtime.seals import MARK
from kd.study.run import Run
from kd.study.stage import Stage
from kd.study.teacher import Teacher
from kd.study.teacher_outputs import need_of

# In the folder of a run. The folder of a teacher has model, metrics, history and checkpoint.
MODEL = "model"
METRICS = "metrics.json"
TRAINING = "training.json"  # a stage has it too
HISTORY = "history.csv"
PREDICTIONS = "predictions.parquet"
SPEC = "spec.json"
INIT = "init.json"
CHECKPOINT = "checkpoint.safetensors"  # no output of a rule, because Snakemake removes those
AHEAD = ".evaluation"  # by the training's process; no output of a rule either
# In the folder of a study.
RECORD = "runs.csv"
ANSWERS = "answers"  # no output of a rule, because runs of older versions have none
# In the folder of a record to ship, beside these two.
RECORDED = "study.yaml"
MADE = "made.json"
DRAWN = "drawn"


def log_file(folder: Path, step: str) -> Path:
    """The log of a step that works in a folder."""
    return folder / "log" / f"{step}.log"


def benchmark_file(folder: Path, step: str) -> Path:
    """Snakemake's record of the time and memory of a step that works in a folder."""
    return folder / "log" / f"{step}.benchmark.tsv"


def need_file(outputs: Path, need: str) -> Path:
    """The file which says that the outputs of a need are stored, in a folder of outputs."""
    return outputs / f"{need}.json"


class Layout:
    """Paths below one results folder.

    Methods that take ids as text also make the patterns of rules: `run_folder("{run}")`.
    """

    def __init__(self, results: str | Path = "results") -> None:
        self.results = Path(results)
        self.runs = self.results / "runs"  # the folder of the runs of all studies
        # To join a path takes microseconds, and large grids ask for each folder again and again.
        self._folders: dict[tuple[str, ...], Path] = {}
        self._before: dict[str, dict[str, Path]] = {}  # by run: `kd watch` asks every few seconds

    @property
    def calibration(self) -> Path:
        """What `kd calibrate` measured of devices."""
        return self.results / "calibration.json"

    @property
    def started_in(self) -> list[Path]:
        """Where Snakemake may run: in the folder of the results, or of the target of a link."""
        return sorted({self.results.absolute().parent, self.results.resolve().parent})

    def text(self, data_id: str, task: str) -> Path:
        """Folder of a task's text, with one Parquet file for each split."""
        return self.results / "data" / data_id / task / "text"

    def tokens(self, data_id: str, task: str, tokens_id: str) -> Path:
        """Folder of a task's packed tokens for one tokenizer and length."""
        return self.results / "data" / data_id / task / tokens_id

    def extra_folder(self, data_id: str, task: str, extra_id: str) -> Path:
        """Folder of extra examples of a task, which have no labels."""
        return self.results / "data" / data_id / task / extra_id

    def extras(self, run: Run) -> list[Path]:
        """Folders of the extra examples that the tokens of a run have."""
        return [self.extra_folder(run.data_id, run.task, extra.id) for extra in run.extras]

    def teacher_folder(self, teacher_id: str, task: str) -> Path:
        """Folder of a fine-tuned teacher, by its id."""
        key = teacher_id, task
        if key not in self._folders:
            self._folders[key] = self.results / "teachers" / teacher_id / task
        return self._folders[key]

    def teacher(self, teacher: Teacher) -> Path:
        """Folder of a fine-tuned teacher."""
        return self.teacher_folder(teacher.id, teacher.task)

    def outputs_folder(self, teacher_id: str, task: str, tokens_id: str) -> Path:
        """Folder of a teacher's stored outputs, by the ids."""
        key = teacher_id, task, tokens_id
        if key not in self._folders:
            self._folders[key] = self.teacher_folder(teacher_id, task) / "outputs" / tokens_id
        return self._folders[key]

    def outputs(self, teacher: Teacher, tokens_id: str) -> Path:
        """Folder of a teacher's stored outputs for one tokenizer and length."""
        return self.outputs_folder(teacher.id, teacher.task, tokens_id)

    def arrays(self) -> list[Path]:
        """The stored arrays of teacher outputs of all studies."""
        return sorted(self.results.glob("teachers/*/*/outputs/*/[!.]*.npy"))

    def corpus_folder(self, corpus_id: str, tokens_id: str) -> Path:
        """Folder of the packed tokens of a corpus for one tokenizer and length, by the ids."""
        return self.results / "corpora" / corpus_id / tokens_id

    def corpus(self, stage: Stage) -> Path:
        """Folder of the packed tokens that a stage reads."""
        return self.corpus_folder(stage.corpus_id, stage.tokens_id)

    def stage_folder(self, stage_id: str) -> Path:
        """Folder of a stage, by its id."""
        return self.results / "stages" / stage_id

    def stage(self, stage: Stage) -> Path:
        """Folder of a stage: the model, the record, the history and the checkpoint."""
        return self.stage_folder(stage.id)

    def need(self, run: Run) -> Path:
        """The file which says that the teacher outputs that a run reads are stored."""
        return need_file(self.outputs(run.teacher, run.tokens_id), need_of(run))

    def before(self, run: Run) -> dict[str, Path]:
        """{step: folder of its state} of all steps that a run waits for, in their order.

        If the state of a step is not in the folder of its results, its folder has the name of its
        log.
        """
        if run.id in self._before:
            return self._before[run.id]
        readers: list[Run | Teacher] = [run, run.teacher] if run.needs_teacher else [run]
        steps = {f"data {run.task}": self.preparing(run.data_id, run.task)}
        for extra in run.extras:
            name = f"{extra.id} of {run.task}"
            steps[name] = self.extending(run.data_id, run.task, extra.id)
        for reader in readers:
            place = (reader.data_id, reader.task, reader.tokens_id)
            steps[f"{reader.tokens_id} of {run.task}"] = self.tokenising(*place)
        if run.needs_teacher:
            for candidate in run.teacher.candidates:
                steps[f"teacher {candidate.id}"] = self.teacher(candidate)
            if taught_by := run.teacher.student_of:
                steps |= {**self.before(taught_by), f"run {taught_by.id}": self.run(taught_by)}
            steps[f"teacher {run.teacher.id}"] = self.teacher(run.teacher)
        if need_of(run):
            steps[f"outputs of {run.teacher.id}"] = self.storing(run)
        if run.stage:
            steps[f"corpus {run.stage.corpus_id}"] = self.packing(run.stage)
            steps[f"stage {run.stage.id}"] = self.stage(run.stage)
        self._before[run.id] = steps
        return steps

    def packing(self, stage: Stage) -> Path:
        """Folder of the state of packing the corpus of a stage."""
        return self.packing_folder(stage.corpus_id, stage.tokens_id)

    def packing_folder(self, corpus_id: str, tokens_id: str) -> Path:
        """Folder of the state of packing a corpus, by the ids."""
        return self.results / "logs/corpus" / f"{corpus_id}-{tokens_id}"

    def preparing(self, data_id: str, task: str) -> Path:
        """Folder of the state of loading a task's text."""
        return self.results / "logs/data" / f"{data_id}-{task}"

    def extending(self, data_id: str, task: str, extra_id: str) -> Path:
        """Folder of the state of making extra examples."""
        return self.results / "logs/extra" / f"{data_id}-{task}-{extra_id}"

    def tokenising(self, data_id: str, task: str, tokens_id: str) -> Path:
        """Folder of the state of tokenising a task's text."""
        return self.results / "logs/tokenise" / f"{data_id}-{task}-{tokens_id}"

    def storing(self, run: Run) -> Path:
        """Folder of the state of storing the teacher outputs that a run reads."""
        return self.teacher(run.teacher) / "log" / f"{run.tokens_id}-{need_of(run)}"

    def run_folder(self, run_id: str) -> Path:
        """Folder of a run, by its id."""
        return self.runs / run_id

    def submitting(self, study: str) -> Path:
        """Folder of the state of making a submission to the GLUE leaderboard."""
        return self.results / "logs/submission" / study

    def run(self, run: Run) -> Path:
        """Folder of a run."""
        if (run.id,) not in self._folders:
            self._folders[run.id,] = self.run_folder(run.id)
        return self._folders[run.id,]

    def marks(self) -> list[Path]:
        """The marks of all results that a job has found damaged."""
        folders = ["data/*/*", "teachers/*/*", "teachers/*/*/outputs/*", "runs/*"]
        folders += ["corpora/*/*", "stages/*"]
        return sorted(p for folder in folders for p in self.results.glob(f"{folder}/*{MARK}"))

    def study(self, name: str) -> Path:
        """Folder of a study's tables and figures."""
        return self.results / "studies" / name
