"""The official GLUE files beside the checkout, and small files in their layout."""

from pathlib import Path

from kd.axes.leaderboard import SHEETS
from kd.axes.tasks import TASKS

GLUE = Path(__file__).parents[2] / "shared" / "glue"
GLUE_TASKS = [name for name, row in TASKS.items() if not row.synthetic]
# A header and one good row of each task, with more columns than are read, as in the official files.
OFFICIAL = {
    "cola": (None, "gj04\t0\t*\tThey drank the pub."),
    "sst2": ("sentence\tlabel", "hide new secretions \t0"),
    "mrpc": (
        "\ufeffQuality\t#1 ID\t#2 ID\t#1 String\t#2 String",
        "1\t702876\t702977\tHe said so .\tSo he said .",
    ),
    "stsb": (
        "index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1\tsentence2\tscore",
        "0\tmain\tfile\t2012\t1\tnone\tnone\tA plane.\tAn air plane.\t4.600",
    ),
    "qqp": (
        "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate",
        "133273\t213221\t213222\tHow so?\tWhy so?\t1",
    ),
    "mnli": (
        "index\tpromptID\tsentence1\tsentence2\tlabel1\tgold_label",
        "0\t31193\tIt has rained.\tIt is dry.\tneutral\tcontradiction",
    ),
    "qnli": ("index\tquestion\tsentence\tlabel", "0\tWhen?\tIn May.\tentailment"),
    "rte": ("index\tsentence1\tsentence2\tlabel", "0\tNo one.\tSome one.\tnot_entailment"),
    "wnli": ("index\tsentence1\tsentence2\tlabel", "0\tIt fell.\tThe cup fell.\t1"),
}
# A header and one row of each test set, with all the columns of the official files.
HEADERS = {
    "CoLA.tsv": ("index\tsentence", "0\tBill whistled past the house."),
    "SST-2.tsv": ("index\tsentence", "0\tuneasy mishmash of styles and genres . "),
    "MRPC.tsv": (
        "\ufeffindex\t#1 ID\t#2 ID\t#1 String\t#2 String",
        '0\t1089874\t1089925\tHe said " so .\tSo he said .',
    ),
    "STS-B.tsv": (
        "index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1\tsentence2",
        "0\tmain-captions\tMSRvid\t2012test\t0024\tnone\tnone\tA girl.\tA girl too.",
    ),
    "QQP.tsv": ("id\tquestion1\tquestion2", "0\tWould the idea work?\tShould it?"),
    "MNLI-m.tsv": (
        "index\tpromptID\tpairID\tgenre\tsentence1_binary_parse\tsentence2_binary_parse\t"
        "sentence1_parse\tsentence2_parse\tsentence1\tsentence2",
        "0\t31493\t31493\ttravel\t( a )\t( b )\t(ROOT a)\t(ROOT b)\tHills.\tHigh hills.",
    ),
    "QNLI.tsv": ("index\tquestion\tsentence", "0\tWhen?\tIn May."),
    "RTE.tsv": ("index\tsentence1\tsentence2", "0\tNo one.\tSome one."),
    "WNLI.tsv": ("index\tsentence1\tsentence2", "0\tIt fell.\tThe cup fell."),
    "AX.tsv": ("index\tsentence1\tsentence2", "0\tThe cat sat.\tThe cat did not sit."),
}
HEADERS["MNLI-mm.tsv"] = HEADERS["MNLI-m.tsv"]


def text_of(task: str, *rows: str) -> str:
    header, row = OFFICIAL[task]
    return "\n".join([*([header] if header else []), *(rows or (row,))]) + "\n"


def glue_folder(root: Path, task: str, *splits: str) -> Path:
    folder = root / TASKS[task].folder
    folder.mkdir(parents=True)
    for split in splits:
        (folder / f"{split}.tsv").write_text(text_of(task), encoding="utf-8")
    return root


def write_test_set(root: Path, name: str, *rows: str) -> Path:
    """A test set of a glue_data/ folder, of its official row or of these."""
    header, row = HEADERS[name]
    file = root / SHEETS[name].tsv[0]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join([header, *(rows or (row,))]) + "\n", encoding="utf-8")
    return file
