"""A checkout that users can only read, and a folder of results that a group shares.

The two users are numbers without names; only root can become them. They may read everything, since
the Python of the tests may be in root's home, and write what their group may write.
"""

import subprocess
import sys
from pathlib import Path

import pytest
from faults import ROOT, Place, environment, write
from users import become, give

GROUP, FIRST, SECOND = 12000, 12001, 12002

pytestmark = [pytest.mark.slow, pytest.mark.root]


@pytest.fixture
def shared(tmp_path):
    """A folder of the group: what is made in it belongs to the group too."""
    return give(tmp_path / "shared", FIRST, GROUP, mode=0o2775)


def workflow(user, folder, *arguments, umask="002"):
    """Snakemake as this user, started in the checkout, which only root may write to."""
    home = give(folder.parent / f"home-{user}", user, GROUP)
    command = [Path(sys.executable).parent / "snakemake", "-s", ROOT / "Snakefile", "--cores", "1"]
    command += ["--directory", folder, "--configfile", folder / "study.yaml", *arguments]
    return subprocess.run(
        [*become(user, GROUP, umask=umask, reads_all=True), *map(str, command)],
        cwd=ROOT,
        env=environment(HOME=str(home), KD_CACHE_DIR=str(home), LOGNAME=f"user-{user}"),
        capture_output=True,
        text=True,
    )


def test_two_users_share_a_folder_and_only_read_the_checkout(shared, tmp_path):
    study = write(shared, axes={"seed": [1, 2]})
    alone = Place(study, tmp_path / "alone/results")
    wanted = alone.make("data", "tokenise", "teacher", "outputs").finish_runs().numbers()

    one = workflow(FIRST, shared, "--until", "teacher")
    assert one.returncode == 0, one.stdout + one.stderr
    two = workflow(SECOND, shared)
    assert two.returncode == 0, two.stdout + two.stderr
    assert "rule teacher" not in two.stdout + two.stderr, "what the first made is done again"
    again = workflow(FIRST, shared)
    assert "Nothing to be done" in again.stdout + again.stderr, again.stdout + again.stderr

    place = Place(study)
    assert place.numbers() == wanted
    owners = {path.stat().st_uid for path in (shared / "results").rglob("*")}
    assert owners == {FIRST, SECOND}
    for path in (shared / "results").rglob("*"):
        facts, mode = path.stat(), 0o2775 if path.is_dir() else 0o664
        assert facts.st_gid == GROUP and facts.st_mode & mode == mode, f"{path}: {facts.st_mode:o}"


def test_a_folder_that_the_other_user_closed_is_a_sentence(shared):
    """With a umask of 022 the group may only read."""
    write(shared, axes={"seed": [1]})
    one = workflow(FIRST, shared, "--until", "tokenise", umask="022")
    assert one.returncode == 0, one.stdout + one.stderr
    two = workflow(SECOND, shared)
    text = two.stdout + two.stderr
    assert two.returncode != 0 and "Traceback" not in text, text
    assert "cannot be written to" in text and "umask" in text, text
