"""Every error that a user can meet, on one page.

    CurateError                      exit code 1; the message is one or two sentences and says what to do
    ├── ConfigError                  curate.toml or a flag is wrong
    ├── WorkspaceError               no workspace here, or it is in use, or it is damaged
    │   └── WorkspaceLocked          another process writes to it
    ├── ReadError                    a whole input file cannot be read (a bad record is quarantined instead)
    ├── ModelUnavailable             weights are neither cached nor reachable, or do not match their checksum
    ├── EndpointUnavailable          the endpoint of a model cannot be reached, or refuses
    ├── EngineUnavailable            Spark cannot start here: no Java, or one that is too old
    ├── SchemaError                  a table does not have the columns that it declares
    ├── BudgetError                  a budget cannot be parsed or met
    ├── NothingLeft                  filters, pruning or the budget leave no sample
    ├── TooManyErrors                more records are bad than --max-errors allows
    ├── Unfit                        a trainer would crash on data that is validated, or nothing of it is read
    ├── NotDeterministic             two runs of one shard gave different bytes
    └── ExportError                  the output folder is in use, or a record cannot be written

A bug stays what Python calls it (TypeError, AssertionError, …) and shows a traceback.
"""


class CurateError(Exception):
    """An error that the user can fix."""


class ConfigError(CurateError):
    """curate.toml or a flag is wrong."""


class WorkspaceError(CurateError):
    """There is no workspace here, or it is damaged."""


def no_workspace(where: object) -> WorkspaceError:
    """The error of a folder without curate.toml."""
    return WorkspaceError(
        f"there is no curate.toml in {where}; start with `curate init DATA --images DIR`, "
        "or change to the folder where you did"
    )


class WorkspaceLocked(WorkspaceError):
    """Another process writes to this workspace."""


class ReadError(CurateError):
    """A whole input file cannot be read."""


class ModelUnavailable(CurateError):
    """A model's weights are neither cached nor reachable, or do not match their checksum."""


class EndpointUnavailable(CurateError):
    """The endpoint of a model cannot be reached, or refuses."""


class EngineUnavailable(CurateError):
    """Spark cannot start here."""


class SchemaError(CurateError):
    """A table does not have the columns that it declares."""


class BudgetError(CurateError):
    """A budget cannot be parsed or met."""


class NothingLeft(CurateError):
    """Filters, pruning or the budget leave no sample; what was computed stays."""


class TooManyErrors(CurateError):
    """More records are bad than --max-errors allows."""


class Unfit(CurateError):
    """A trainer would crash on data that is validated, or nothing of it can be read."""


class NotDeterministic(CurateError):
    """Two runs of one shard gave different bytes."""


class ExportError(CurateError):
    """The output folder is in use, or a record cannot be written."""


# Codes of quarantined records: why one record, not the run, failed.
BAD_JSON = "bad_json"
NOT_AN_OBJECT = "not_an_object"
NO_TURNS = "no_turns"
BAD_TURN = "bad_turn"
BAD_ROLES = "bad_roles"
BAD_IMAGE_FIELD = "bad_image_field"
IMAGE_TOKEN_COUNT = "image_token_count"
MISSING_IMAGE = "missing_image"
IMAGE_OUTSIDE_ROOTS = "image_outside_roots"
REMOTE_IMAGE = "remote_image"
ZERO_BYTE_IMAGE = "zero_byte_image"
NOT_AN_IMAGE = "not_an_image"
TRUNCATED_IMAGE = "truncated_image"
IMAGE_TOO_LARGE = "image_too_large"
IMAGE_CHANGED = "image_changed"
EXTREME_ASPECT = "extreme_aspect"
STAGE_FAILED = "stage_failed"
BAD_ARCHIVE = "bad_archive"
UNSUPPORTED_MEDIA = "unsupported_media"  # video or audio
UNSUPPORTED_RECORD = "unsupported_record"  # no conversation: preferences, calls of tools
