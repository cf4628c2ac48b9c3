"""What `kd recover` says that killed processes have left."""

from studies import tiny_study, write_study

from kd.monitor.recover import recover
from kd.study.grid import load_grid
from kd.study.paths import Layout


def test_half_written_folders_of_data_and_of_studies_are_named(tmp_path):
    grid = load_grid(write_study(tmp_path, tiny_study()))
    layout = Layout(tmp_path / "results")
    places = ["data/x/toy-single", "studies/test", "studies/test/export", "."]
    left = [layout.results / place / ".tables.abcd1234.tmp" for place in places]
    for path in left:
        path.mkdir(parents=True)
    lock = tmp_path / ".snakemake/locks/0.input.lock"  # beside the results, wherever it is asked
    lock.parent.mkdir(parents=True)
    lock.touch()
    first, *told = recover(grid, layout)
    assert "`snakemake --unlock`" in first
    assert len(told) == len(left)
    for path in left:
        assert any(text.startswith(f"{path}: half written") for text in told)
