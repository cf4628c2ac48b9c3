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
    extra="extra-[0-9a-f]+",
    tokens="tokens-[0-9a-f]+",
    teacher=r"[a-z0-9_-]+-[0-9a-f]+",
    need="need-[0-9a-f]+",
    corpus="(files|hub)-[0-9a-f]+",
    stage=r"[a-z0-9_-]+-[0-9a-f]+",
    run=r"[a-z0-9-]+-[0-9a-f]+",


def undeclared(*names):
    """Files that a job reads where they are. A job that shares no folder with others declares them."""
    return names if IN_STORE else ()


def tokens_of(owner):
    """The folder of tokens that a run or a teacher reads."""
    return LAYOUT.tokens(owner.data_id, owner.task, owner.tokens_id)


def old_or_new(file, made):
    """A file whose renewal leaves what was `made` of it as it is, once that is there.

    Before, it must not be ancient: Snakemake (9.27) forgets jobs behind an ancient file that is made again,
    also those whose outputs are missing.
    """
    return ancient(file) if made.exists() else file


def extras_of_tokens(wildcards):
    """The extra examples that are tokenised with a task's text."""
    return EXTRAS_OF.get((wildcards.data, wildcards.task, wildcards.tokens), [])


def needs_model(extra):
    """1 where extra examples are made by a model, 0 where they are read."""
    return int(extra in MODELLED)


def run_of(wildcards):
    """The run whose file is asked for."""
    if wildcards.run not in TRAINED:
        sys.exit(f"error: {STUDY}: no run {wildcards.run}; `kd runs` lists them")
    return TRAINED[wildcards.run]


def teacher_input(wildcards):
    """What a teacher is made of: tokens, the candidates of one that is selected, or a student."""
    teacher = TEACHERS[wildcards.teacher]
    if teacher.student_of:
        student = LAYOUT.run(teacher.student_of)
        made = (MODEL, TRAINING, HISTORY, METRICS, PREDICTIONS)
        return [student / name for name in made]
    candidates = [LAYOUT.teacher(candidate) for candidate in teacher.candidates]
    names = (MODEL, METRICS, *undeclared(PREDICTIONS, HISTORY))
    made = [folder / name for folder in candidates for name in names]
    return [tokens_of(teacher), *made]


def distil_input(wildcards):
    """What a run needs: its tokens, and its teacher where it learns or starts from one.

    What is stored later leaves finished runs as they are. Arrays are too large to carry to each job, so a
    job that shares no folder with others computes its own.
    """
    run = run_of(wildcards)
    names = (MODEL, *undeclared(METRICS))
    teacher = [LAYOUT.teacher(run.teacher) / name for name in names]
    stored = need_of(run) and not IN_STORE
    stage = {"stage": LAYOUT.stage(run.stage) / MODEL} if run.stage else {}
    return {
        "tokens": tokens_of(run),
        "teacher": teacher if run.needs_teacher else [],
        "outputs": (
            [old_or_new(LAYOUT.need(run), HERE.run(run) / METRICS)] if stored else []
        ),
        **stage,
    }


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
    stage = GRID.stages[wildcards.stage]
    return old_or_new(LAYOUT.corpus(stage) / MANIFEST, HERE.stage(stage) / TRAINING)


def evaluate_input(wildcards):
    """What an evaluation needs: the student, and its teacher's scores for the record."""
    run = run_of(wildcards)
    made = [METRICS, *undeclared(MODEL, PREDICTIONS)]
    teacher = [LAYOUT.teacher(run.teacher) / name for name in made]
    return {"tokens": tokens_of(run), "teacher": teacher if run.needs_teacher else []}


def collect_input(wildcards):
    """What runs.csv is made from."""
    runs, teachers = undeclared(TRAINING, HISTORY, PREDICTIONS), undeclared(PREDICTIONS)
    own = [LAYOUT.run(run) / name for run in RUNS.values() for name in runs]
    taught = {run.teacher.id: run.teacher for run in RUNS.values() if run.needs_teacher}
    theirs = [LAYOUT.teacher(t) / name for t in taught.values() for name in teachers]
    return [*RUN_METRICS, *own, *theirs]


def memory(mb):
    """Megabytes that a job asks for: `mb` in its first try, twice as many in its second, and so on."""
    return lambda wildcards, attempt: mb * attempt


def leaderboard_files():
    """Size and time of each test set on disk, so that a new one makes the zip again."""
    if GRID.study.data["source"] != "tsv":
        return []
    found = [
        unlabelled_file(GRID.study.data["path"], sheet) for sheet in SHEETS.values()
    ]
    return [f"{f.name} {f.stat().st_size} {f.stat().st_mtime_ns}" for f in found if f]
