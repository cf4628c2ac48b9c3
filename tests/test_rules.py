"""The rules of the workflow: one a file, and shell lines that stay as they are."""

import re
from pathlib import Path

import pytest

RULES = sorted((Path(__file__).parents[1] / "workflow/rules").glob("*.smk"))

# Snakemake runs a finished job again when a letter of its shell line changes.
STUDY = 'python -m kd {} "$KD_STUDY"'
OPTIONS = {
    "data": " --task {wildcards.task}",
    "extra": " --task {wildcards.task} --extra {wildcards.extra} --threads {threads}",
    "tokenise": " --task {wildcards.task} --tokens {wildcards.tokens}",
    "teacher": " --teacher {wildcards.teacher} --threads {threads}",
    "outputs": (
        " --teacher {wildcards.teacher} --tokens {wildcards.tokens}"
        " --need {wildcards.need} --threads {threads}"
    ),
    "corpus": " --corpus {wildcards.corpus} --tokens {wildcards.tokens}",
    "stage": " --stage {wildcards.stage} --threads {threads}",
    "distil": " --run {wildcards.run} --threads {threads}",
    "evaluate": " --run {wildcards.run} --threads {threads}",
    "export": " --best --threads {threads}",
    "submission": " --threads {threads}",
    **dict.fromkeys(("collect", "tables", "figures", "report", "guideline"), ""),
}


def test_there_is_a_file_for_each_rule():
    assert {path.stem for path in RULES} == set(OPTIONS)


@pytest.mark.parametrize("path", RULES, ids=lambda path: path.stem)
def test_a_file_has_one_rule_of_its_name_with_its_frozen_shell_line(path):
    text = path.read_text()
    assert re.findall(r"^ *rule (\w+):", text, re.MULTILINE) == [path.stem]
    (line,) = re.findall(r"shell:\n +'(.*)'\n", text)
    assert line == STUDY.format(path.stem) + OPTIONS[path.stem] + " > {log} 2>&1"


@pytest.mark.parametrize("name", ["teacher", "stage"])
def test_ids_may_start_with_the_name_of_any_architecture(name):
    inputs = RULES[0].parents[1] / "inputs.smk"
    allowed = dict(re.findall(r' (\w+)=r"(.+)",\n', inputs.read_text()))
    for architecture in ("bert", "deberta-v2", "nomic_bert"):
        assert re.fullmatch(allowed[name], f"{architecture}-2l-32-6be73c187a")
