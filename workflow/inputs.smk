# What the rules share: the inputs of a job by its wildcards, threads and memory.

# The folders of any teacher, its stored outputs, a corpus, a stage, and any run, with wildcards in place of ids.
TEACHER = LAYOUT.teacher_folder("{teacher}", "{task}")
OUTPUTS = LAYOUT.outputs_folder("{teacher}", "{task}", "{tokens}")
CORPUS = LAYOUT.corpus_folder("{corpus}", "{tokens}")
PACKING = LAYOUT.packing_folder("{corpus}", "{tokens}")
STAGE = LAYOUT.stage_folder("{stage}")
RUN = LAYOUT.run_folder("{run}")

# A run is trained on one CPU core: its numbers depend on the number of threads. Several runs at once
# keep the other cores busy.
THREADS = 1


wildcard_constraints:
    task="[a-z0-9-]+",
    data="[a-z0-9-]+",
    tokens="tokens-[0-9a-f]+",
    teacher=r"[a-z0-9-]+-[0-9a-f]+",
    need="need-[0-9a-f]+",
    corpus="(files|hub)-[0-9a-f]+",
    stage=r"[a-z0-9-]+-[0-9a-f]+",
    run=r"[a-z0-9-]+-[0-9a-f]+",


def tokens_of(owner):
    """The folder of tokens that a run or a teacher reads."""
    return LAYOUT.tokens(owner.data_id, owner.task, owner.tokens_id)


def run_of(wildcards):
    """The run whose file is asked for."""
    if wildcards.run not in RUNS:
        sys.exit(f"error: {STUDY}: no run {wildcards.run}; `kd runs` lists them")
    return RUNS[wildcards.run]


def teacher_input(wildcards):
    """The tokens of a teacher, and the candidates of one that is selected."""
    teacher = TEACHERS[wildcards.teacher]
    candidates = [LAYOUT.teacher(candidate) for candidate in teacher.candidates]
    made = [folder / name for folder in candidates for name in (MODEL, METRICS)]
    return [tokens_of(teacher), *made]


def distil_input(wildcards):
    """What a run needs: its tokens, and its teacher where it learns or starts from one.

    `outputs` is ancient: what is stored later leaves finished runs as they are.
    """
    run = run_of(wildcards)
    teacher = [LAYOUT.teacher(run.teacher) / MODEL] if run.needs_teacher else []
    outputs = [ancient(LAYOUT.need(run))] if need_of(run) else []
    stage = {"stage": LAYOUT.stage(run.stage) / MODEL} if run.stage else {}
    return {"tokens": tokens_of(run), "teacher": teacher, "outputs": outputs, **stage}


def outputs_input(wildcards):
    """A teacher, and the tokens on which its outputs are computed."""
    teacher = TEACHERS[wildcards.teacher]
    return {
        "tokens": LAYOUT.tokens(teacher.data_id, teacher.task, wildcards.tokens),
        "teacher": LAYOUT.teacher(teacher) / MODEL,
        "metrics": LAYOUT.teacher(teacher) / METRICS,
    }


def corpus_of(wildcards):
    """The packed tokens that a stage reads. What is packed again later leaves it as it is."""
    return ancient(LAYOUT.corpus(GRID.stages[wildcards.stage]) / MANIFEST)


def evaluate_input(wildcards):
    """What an evaluation needs: the student, and its teacher's scores for the record."""
    run = run_of(wildcards)
    teacher = [LAYOUT.teacher(run.teacher) / METRICS] if run.needs_teacher else []
    return {"tokens": tokens_of(run), "teacher": teacher}


def memory(mb):
    """Megabytes that a job asks for: `mb` in its first try, twice as many in its second, and so on."""
    return lambda wildcards, attempt: mb * attempt
