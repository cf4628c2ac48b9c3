"""Where everything lies below results/; the workflow's rules and every command ask here."""

from pathlib import Path

from kd.runtime.seals import MARK
from kd.study.run import Run
from kd.study.teacher import Teacher
from kd.study.teacher_outputs import need_of

# In the folder of a run; a teacher's has the model, the metrics, the history and the checkpoint.
MODEL = "model"
METRICS = "metrics.json"
TRAINING = "training.json"
HISTORY = "history.csv"
PREDICTIONS = "predictions.parquet"
SPEC = "spec.json"
INIT = "init.json"
CHECKPOINT = "checkpoint.safetensors"  # no output of a rule, or Snakemake would remove it
# In the folder of a study.
RECORD = "runs.csv"
ANSWERS = "answers"  # no output of a rule: runs of older versions have left none


def log_file(folder: Path, step: str) -> Path:
    """The log of a step that works in a folder."""
    return folder / "log" / f"{step}.log"


def benchmark_file(folder: Path, step: str) -> Path:
    """Snakemake's record of the time and memory of a step that works in a folder."""
    return folder / "log" / f"{step}.benchmark.tsv"


def need_file(outputs: Path, need: str) -> Path:
    """What says that the outputs of a need are stored in a folder of outputs."""
    return outputs / f"{need}.json"


class Layout:
    """Paths below one results folder.

    Methods that take ids as text give the pattern of a rule too: `run_folder("{run}")`.
    """

    def __init__(self, results: str | Path = "results") -> None:
        self.results = Path(results)
        self._before: dict[str, dict[str, Path]] = {}  # by run: `kd watch` asks every few seconds

    @property
    def runs(self) -> Path:
        """Folder of all runs, of all studies."""
        return self.results / "runs"

    def text(self, data_id: str, task: str) -> Path:
        """Folder of a task's text, one Parquet a split."""
        return self.results / "data" / data_id / task / "text"

    def tokens(self, data_id: str, task: str, tokens_id: str) -> Path:
        """Folder of a task's packed tokens for one tokenizer and length."""
        return self.results / "data" / data_id / task / tokens_id

    def teacher_folder(self, teacher_id: str, task: str) -> Path:
        """Folder of a fine-tuned teacher, by its id."""
        return self.results / "teachers" / teacher_id / task

    def teacher(self, teacher: Teacher) -> Path:
        """Folder of a fine-tuned teacher."""
        return self.teacher_folder(teacher.id, teacher.task)

    def outputs_folder(self, teacher_id: str, task: str, tokens_id: str) -> Path:
        """Folder of a teacher's stored outputs, by the ids."""
        return self.teacher_folder(teacher_id, task) / "outputs" / tokens_id

    def outputs(self, teacher: Teacher, tokens_id: str) -> Path:
        """Folder of a teacher's stored outputs for one tokenizer and length."""
        return self.outputs_folder(teacher.id, teacher.task, tokens_id)

    def arrays(self) -> list[Path]:
        """Every stored array of teacher outputs, of all studies."""
        return sorted(self.results.glob("teachers/*/*/outputs/*/[!.]*.npy"))

    def need(self, run: Run) -> Path:
        """What says that the teacher outputs which a run can read are stored."""
        return need_file(self.outputs(run.teacher, run.tokens_id), need_of(run))

    def before(self, run: Run) -> dict[str, Path]:
        """{step: folder of its state} of all that a run waits for, in the order of the work.

        Where a step's state does not lie in its own folder, it lies in one named like its log.
        """
        if run.id in self._before:
            return self._before[run.id]
        readers: list[Run | Teacher] = [run, run.teacher] if run.needs_teacher else [run]
        steps = {f"data {run.task}": self.preparing(run.data_id, run.task)}
        for reader in readers:
            place = (reader.data_id, reader.task, reader.tokens_id)
            steps[f"{reader.tokens_id} of {run.task}"] = self.tokenising(*place)
        if run.needs_teacher:
            for candidate in run.teacher.candidates:
                steps[f"teacher {candidate.id}"] = self.teacher(candidate)
            steps[f"teacher {run.teacher.id}"] = self.teacher(run.teacher)
        if need_of(run):
            steps[f"outputs of {run.teacher.id}"] = self.storing(run)
        self._before[run.id] = steps
        return steps

    def preparing(self, data_id: str, task: str) -> Path:
        """Folder of the state of loading a task's text."""
        return self.results / "logs/data" / f"{data_id}-{task}"

    def tokenising(self, data_id: str, task: str, tokens_id: str) -> Path:
        """Folder of the state of tokenising it."""
        return self.results / "logs/tokenise" / f"{data_id}-{task}-{tokens_id}"

    def storing(self, run: Run) -> Path:
        """Folder of the state of storing the teacher outputs which a run can read."""
        return self.teacher(run.teacher) / "log" / f"{run.tokens_id}-{need_of(run)}"

    def run_folder(self, run_id: str) -> Path:
        """Folder of a run, by its id."""
        return self.runs / run_id

    def submitting(self, study: str) -> Path:
        """Folder of the state of making a submission to the GLUE leaderboard."""
        return self.results / "logs/submission" / study

    def run(self, run: Run) -> Path:
        """Folder of a run."""
        return self.run_folder(run.id)

    def marks(self) -> list[Path]:
        """The marks of all that a job has found to be damaged."""
        folders = ("data/*/*", "teachers/*/*", "teachers/*/*/outputs/*", "runs/*")
        return sorted(p for folder in folders for p in self.results.glob(f"{folder}/*{MARK}"))

    def study(self, name: str) -> Path:
        """Folder of a study's tables and figures."""
        return self.results / "studies" / name
