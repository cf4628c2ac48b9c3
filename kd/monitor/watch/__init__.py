"""A live view of a study, from the files alone: `kd watch`."""
