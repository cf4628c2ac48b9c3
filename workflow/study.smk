# The study, its grid, and the folders of its results. Every job of a cluster reads this file again, so
# it imports only what planning needs, and reads only the local models and data that have changed
# (kd/runtime/digests.py).


def or_end(function, *arguments):
    """The function's value; a mistake of the user's ends Snakemake with one sentence."""
    try:
        return function(*arguments)
    except UserError as error:
        sys.exit(f"error: {error}")


def check_module():
    """What another Snakefile may ask of this one as a module: no other paths, and one study, since
    all its jobs find the study through one prefix of their shell lines."""
    modifier = workflow.modifier.path_modifier
    if modifier.prefix or modifier._prefix_replacements:
        sys.exit(
            "error: module: prefix and replace_prefix change where rules look for files, but not "
            "where `kd` writes them: leave them out, and start snakemake in the folder that shall "
            "hold results/"
        )
    first = getattr(workflow, "kd_study", STUDY)
    workflow.kd_study = STUDY  # modules share nothing else
    if first != STUDY:
        sys.exit(
            f"error: module: found a second study, {STUDY}, beside {first}: one workflow runs one "
            f"study; start snakemake once for each"
        )


def load_study_grid():
    """The grid of the study, and warnings about it."""
    if not AS_MODULE:
        if len(workflow.configfiles) > 1:
            sys.exit(
                "error: one study at a time: give --configfile once, with one file"
            )
        if workflow.config_settings.config:
            sys.exit("error: --config changes nothing here: write a study file")
    if workflow.modifier.is_module:
        check_module()
    grid = or_end(load_grid, STUDY)
    if IN_STORE and grid.stages:
        sys.exit(
            f"error: {STUDY}: stages: a stage reads its corpus from a folder that all jobs share; "
            f"leave out --default-storage-provider"
        )
    if IN_STORE and grid.study.keep_students != "all":
        sys.exit(
            f"error: {STUDY}: keep.students: found {grid.study.keep_students}, but jobs remove "
            f"students from a folder that they share; leave out --default-storage-provider"
        )
    # The Snakemake of a single job need not read the data again.
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


GRID = load_study_grid()
LAYOUT = Layout(
    "results"
)  # for rules: Snakemake itself puts the folder of a store before it
HERE = Layout(RESULTS)  # the same on this machine's disk
RUNS = GRID.runs
TRAINED = GRID.trained  # with the runs whose students are teachers
RUN_METRICS = [LAYOUT.run(run) / METRICS for run in RUNS.values()]
TEACHERS = GRID.teachers
EXTRAS_OF = {
    (run.data_id, run.task, run.tokens_id): LAYOUT.extras(run)
    for run in TRAINED.values()
    if run.extras
}
MODELLED = {e.id for run in TRAINED.values() for e in run.extras if e.encoder}
FOLDER = LAYOUT.study(GRID.study.name)
