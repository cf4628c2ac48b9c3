# The study, its grid and the paths of its results. Parsed again by every cluster job, so it stays
# light: only the standard library and YAML are imported, and of local models and data only what has
# changed is read again (kd/digests.py).


def or_end(function, *arguments):
    """What the function gives; a user's mistake ends Snakemake with one sentence."""
    try:
        return function(*arguments)
    except UserError as error:
        sys.exit(f"error: {error}")


def load_study_grid():
    """The grid of the study; a mistake in it ends Snakemake with one sentence."""
    if len(workflow.configfiles) > 1:
        sys.exit("error: one study at a time: give --configfile once, with one file")
    if workflow.config_settings.config:
        sys.exit("error: --config changes nothing here: write a study file")
    grid = or_end(load_grid, STUDY)
    # A job's own Snakemake need not read the data again.
    if workflow.is_main_process:
        or_end(check_inputs, grid)
        for other in namesakes(STUDY, grid.study.name):
            print(
                f"warning: {same_name(STUDY, other, grid.study.name)}", file=sys.stderr
            )
    return grid


def command_line():
    """What Snakemake was called with."""
    return get_argument_parser().parse_known_args(sys.argv[1:])[0]


def asked_for():
    """The targets on the command line; a job's own Snakemake was asked for a file."""
    return set(command_line().targets) if workflow.is_main_process else set()


def is_locked():
    """Whether a Snakemake runs here, which must not miss what it has seen."""
    return any(Path(".snakemake/locks").glob("*"))


def settle_copies():
    """A copy without times would be computed again, though its contents are known."""
    if found := settle_times(GRID, LAYOUT):
        print(
            f"{LAYOUT.results}: {len(found)} results had the times of a copy, older than what they "
            f"were made of; their contents are as recorded, so they count as finished",
            file=sys.stderr,
        )


def set_damaged_aside():
    """Let what jobs have found damaged be missing: now, before Snakemake looks at what is there."""
    for mark in LAYOUT.marks():
        kept = set_aside(mark)
        print(
            f"{marked(mark)}: was damaged; set aside as {kept.name}, and made again",
            file=sys.stderr,
        )


def check_writable():
    """Snakemake would end with a traceback, or a sentence that names only what it met first."""
    for folder in (Path(), LAYOUT.results):
        if folder.exists() and not os.access(folder, os.W_OK):
            sys.exit(
                f"error: {folder.resolve()}: cannot be written to; nothing was started"
            )


GRID = load_study_grid()
LAYOUT = Layout("results")
if workflow.is_main_process and not command_line().dryrun:
    check_writable()
    if not is_locked():
        set_damaged_aside()
if workflow.is_main_process and not is_locked():
    settle_copies()
RUNS = GRID.runs
RUN_METRICS = [LAYOUT.run(run) / METRICS for run in RUNS.values()]
TEACHERS = {run.teacher.id: run.teacher for run in RUNS.values()}
FOLDER = LAYOUT.study(GRID.study.name)
# Runs are trained on one CPU core each: the numbers depend on the thread count, the cores are kept
# busy by running several at once.
THREADS = 1


def memory(mb):
    """Megabytes that a job asks for: as many again with every try, if it needed more."""
    return lambda wildcards, attempt: mb * attempt


wildcard_constraints:
    task="[a-z0-9-]+",
    data="[a-z0-9-]+",
    tokens="tokens-[0-9a-f]+",
    teacher=r"[a-z0-9-]+-[0-9a-f]+",
    need="need-[0-9a-f]+",
    run=r"[a-z0-9-]+-[0-9a-f]+",


def tokens_of(owner):
    """The folder of tokens that a run or a teacher reads."""
    return LAYOUT.tokens(owner.data_id, owner.task, owner.tokens_id)


def run_of(wildcards):
    """The run whose file is asked for."""
    if wildcards.run not in RUNS:
        sys.exit(f"error: {STUDY}: no run {wildcards.run}; `kd runs` lists them")
    return RUNS[wildcards.run]


def distil_input(wildcards):
    """What a run needs: its tokens, and its teacher where it learns or starts from one.

    `outputs` is ancient: what is stored later leaves finished runs as they are.
    """
    run = run_of(wildcards)
    teacher = [LAYOUT.teacher(run.teacher) / MODEL] if run.needs_teacher else []
    outputs = [ancient(LAYOUT.need(run))] if need_of(run) else []
    return {"tokens": tokens_of(run), "teacher": teacher, "outputs": outputs}


def outputs_input(wildcards):
    """A teacher, and the tokens on which its outputs are computed."""
    teacher = TEACHERS[wildcards.teacher]
    return {
        "tokens": LAYOUT.tokens(teacher.data_id, teacher.task, wildcards.tokens),
        "teacher": LAYOUT.teacher(teacher) / MODEL,
        "metrics": LAYOUT.teacher(teacher) / METRICS,
    }


def evaluate_input(wildcards):
    """What an evaluation needs: the student, and its teacher's scores for the record."""
    run = run_of(wildcards)
    teacher = [LAYOUT.teacher(run.teacher) / METRICS] if run.needs_teacher else []
    return {"tokens": tokens_of(run), "teacher": teacher}
