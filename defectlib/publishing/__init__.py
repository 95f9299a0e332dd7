"""From committed notebooks to the static book: planning the jobs, executing, staging, building. Loads no torch."""


class PublishingError(Exception):
    """A notebook or the book failed for a reason that is not the user's to mend; the message says where to look."""
