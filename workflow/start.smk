# What is done before Snakemake plans. What would go wrong later is refused, damaged results are set aside,
# and copied results get consistent times. Only the main Snakemake does this, not that of a single job.


def asked_for():
    """The targets on the command line; the Snakemake of a single job has none."""
    return set(command_line().targets) if workflow.is_main_process else set()


# Modes of Snakemake that run no job. In these, no result is set aside or removed.
PRINTS = (
    "containerize",
    "d3dag",
    "dag",
    "detailed_summary",
    "dryrun",
    "filegraph",
    "generate_unit_tests",
    "lint",
    "list_conda_envs",
    "list_input_changes",
    "list_params_changes",
    "list_rules",
    "list_target_rules",
    "list_untracked",
    "print_compilation",
    "report",
    "rulegraph",
    "summary",
    "unlock",
)


def only_prints():
    """Whether Snakemake was called to run no job."""
    options = command_line()
    return any(getattr(options, name, None) for name in PRINTS)


def is_locked():
    """Whether another Snakemake runs here, whose files must stay where they are."""
    return any(Path(".snakemake/locks").glob("*"))


def settle_copies():
    """Results that were copied without their times count as finished, if their contents match."""
    if found := settle_times(GRID, HERE):
        print(
            f"{HERE.results}: {len(found)} copied results were older than what they were made "
            f"from; their contents are as recorded, so they count as finished",
            file=sys.stderr,
        )


def set_damaged_aside():
    """Rename what jobs have found damaged, so that Snakemake makes it again."""
    for mark in HERE.marks():
        if is_whole(marked(mark)):
            mark.unlink()
            continue
        kept = set_aside(mark)
        print(
            f"{marked(mark)}: damaged; kept as {kept.name}, and made again",
            file=sys.stderr,
        )


def check_writable():
    """End with a sentence where nothing can be written; Snakemake would end with a traceback."""
    for folder in (Path(), HERE.results):
        if folder.exists() and not os.access(folder, os.W_OK):
            others = folder.stat().st_uid != os.getuid()
            hint = "; `umask 002` before lets a group share it (docs/clusters.md)"
            sys.exit(
                f"error: {folder.resolve()}: cannot be written to; nothing was started"
                f"{', since another user made it' + hint if others else ''}"
            )


def train_unrecorded_again():
    """Students that are not kept, and whose evaluation was interrupted, are trained again."""
    for folder in remove_unrecorded(GRID, HERE):
        print(
            f"{folder}: its evaluation was interrupted after it had removed the weights; it is "
            f"trained again",
            file=sys.stderr,
        )


# The targets that are made from runs.csv alone. Asked for nothing else, Snakemake takes the runs.csv
# that is there and trains nothing.
DRAWN = {"tables", "figures", "report", "guideline"}
DRAW_ONLY = (
    bool(asked_for())
    and asked_for() <= DRAWN
    and (HERE.study(GRID.study.name) / RECORD).is_file()
)

if workflow.is_main_process:
    if not command_line().dryrun:
        check_writable()
    if not only_prints() and not is_locked():
        or_end(set_damaged_aside)
        train_unrecorded_again()
    if not is_locked():
        settle_copies()
    # `collect` would refuse to write over results that only runs.csv has. That is too late: Snakemake
    # removes what a job makes before it starts the job. Runs of this study that are here in part are
    # done again, so they are no loss.
    if not DRAW_ONLY and not command_line().unlock:
        STARTED = {run.id for run in RUNS.values() if HERE.run(run).exists()}
        or_end(refuse_removed, GRID, HERE)
        or_end(refuse_to_lose, HERE.study(GRID.study.name) / RECORD, HERE.runs, STARTED)
