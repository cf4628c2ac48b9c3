# What the plugin for S3 needs besides: a repair, and its settings for the jobs' own copies.


def is_folder(stored):
    """Whether a folder is in the store now. The plugin (0.3.6) goes by its first answer, so it would not
    find a folder that a job has made since Snakemake looked first."""
    return any(stored.get_subkeys())


def tell_jobs_of_the_store():
    """Trainings keep their checkpoints and states in the store too, through boto3, which reads these."""
    given = workflow.storage_provider_settings["s3"].get_settings(None)
    names = {
        "AWS_ENDPOINT_URL": given.endpoint_url,
        "AWS_DEFAULT_REGION": given.region,
        "AWS_ACCESS_KEY_ID": given.access_key,
        "AWS_SECRET_ACCESS_KEY": given.secret_key,
        "AWS_SESSION_TOKEN": given.token,
        "KD_BUCKET": f"{workflow.storage_settings.default_storage_prefix.rstrip('/')}/results",
    }
    os.environ.update({name: value for name, value in names.items() if value})


if STORE == "s3":
    from snakemake_storage_plugin_s3 import StorageObject

    StorageObject.is_dir = is_folder
