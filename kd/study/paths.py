"""Where everything lies below results/; the Snakefile and every command ask here."""

from pathlib import Path

from kd.runtime.files import MARK
from kd.study.run import Run
from kd.study.stored import need_of
from kd.study.teacher import Teacher


class Layout:
    """Paths below one results folder."""

    def __init__(self, results: str | Path = "results") -> None:
        self.results = Path(results)

    def text(self, data_id: str, task: str) -> Path:
        """Folder of a task's text, one Parquet a split."""
        return self.results / "data" / data_id / task / "text"

    def tokens(self, data_id: str, task: str, tokens_id: str) -> Path:
        """Folder of a task's packed tokens for one tokenizer and length."""
        return self.results / "data" / data_id / task / tokens_id

    def teacher(self, teacher: Teacher) -> Path:
        """Folder of a fine-tuned teacher."""
        return self.results / "teachers" / teacher.id / teacher.task

    def outputs(self, teacher: Teacher, tokens_id: str) -> Path:
        """Folder of a teacher's stored outputs for one tokenizer and length."""
        return self.teacher(teacher) / "outputs" / tokens_id

    def arrays(self) -> list[Path]:
        """Every stored array of teacher outputs, of all studies."""
        return sorted(self.results.glob("teachers/*/*/outputs/*/[!.]*.npy"))

    def need(self, run: Run) -> Path:
        """What says that the teacher outputs which a run can read are stored."""
        return self.outputs(run.teacher, run.tokens_id) / f"{need_of(run)}.json"

    def before(self, run: Run) -> dict[str, Path]:
        """{step: folder of its state} of all that a run waits for, in the order of the work.

        Where a step's state does not lie in its own folder, it lies in one named like its log.
        """
        readers: list[Run | Teacher] = [run, run.teacher] if run.needs_teacher else [run]
        steps = {f"data {run.task}": self.preparing(run.data_id, run.task)}
        for reader in readers:
            place = (reader.data_id, reader.task, reader.tokens_id)
            steps[f"{reader.tokens_id} of {run.task}"] = self.tokenising(*place)
        if run.needs_teacher:
            steps[f"teacher {run.teacher.id}"] = self.teacher(run.teacher)
        if need_of(run):
            steps[f"outputs of {run.teacher.id}"] = self.storing(run)
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

    def run(self, run: Run) -> Path:
        """Folder of a run."""
        return self.results / "runs" / run.id

    def marks(self) -> list[Path]:
        """The marks of all that a job has found to be damaged."""
        folders = ("data/*/*", "teachers/*/*", "teachers/*/*/outputs/*", "runs/*")
        return sorted(p for folder in folders for p in self.results.glob(f"{folder}/*{MARK}"))

    def study(self, name: str) -> Path:
        """Folder of a study's tables and figures."""
        return self.results / "studies" / name
