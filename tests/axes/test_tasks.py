"""The rows of the table of tasks fit together."""

from kd.axes.kinds import SCORES
from kd.axes.tasks import HUB_SPLITS, HUB_SPLITS_MNLI, TASKS

GLUE = [name for name, row in TASKS.items() if not row.synthetic]


def test_rows_of_the_table():
    assert GLUE == ["cola", "sst2", "mrpc", "stsb", "qqp", "mnli", "qnli", "rte", "wnli"]
    for name, row in TASKS.items():
        assert row.outputs == (1 if row.kind is SCORES else len(row.labels)), name
        assert len(row.text) in (0, len(row.columns)), f"{name}: text columns differ by source"
        assert row.splits[:2] == ("train", "dev"), name
        splits = HUB_SPLITS_MNLI if name == "mnli" else HUB_SPLITS
        assert row.synthetic or set(splits) == set(row.splits), f"{name}: a split is not mapped"
    assert TASKS["mnli"].splits == ("train", "dev", "dev_mismatched")
    assert [TASKS[n].outputs for n in ("stsb", "mnli", "rte")] == [1, 3, 2]
