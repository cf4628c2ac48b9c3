"""Where everything lies below results/; the Snakefile and every command ask here."""

from pathlib import Path

from kd.files import MARK
from kd.resolve_teacher import Teacher
from kd.run import Run
from kd.store import need_of


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

    def need(self, run: Run) -> Path:
        """What says that the teacher outputs which a run can read are stored."""
        return self.outputs(run.teacher, run.tokens_id) / f"{need_of(run)}.json"

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
