"""Every error that Segue raises on purpose.

SegueError
├── UserError                 the caller's mistake; exit status 2, HTTP 4xx
│   ├── InvalidInput          a file, a row, an id or a value is not what the contract asks for
│   │   ├── ToItself          an edit that would relate something to itself
│   │   └── NotOurs           an edit of what somebody else made in the same graph
│   ├── SettingsError         an unknown key or an unusable value in the settings
│   ├── QueryRefused          a query from outside that may write, read files or is not Cypher
│   ├── QueryTooLarge         a query from outside that needs more memory than such queries are given
│   ├── UnknownSong           a song id that neither the release nor the live state knows
│   ├── UnknownEntity         an artist, tag or genre id that the release does not know
│   ├── NotInRelease          a model or channel that ships, but that this release was made without
│   ├── ReleaseNotFound       no such release, or none published yet
│   ├── StaleStep             a refresh step whose inputs have to be made first
│   └── SourceMismatch        another data source into a state folder that knows its own
├── StoreUnavailable          the graph store or the event log does not answer
│   └── NotWritable           the state folder is read-only, or its disk is full
├── QueryTimeout              a query ran past its time limit
├── Busy                      another process holds the lock that this work needs
├── CorruptRelease            a file of a release is missing, or differs from its checksum
└── FitError                  training ended with weights that are not finite
    └── NothingToLearn        there was nothing to learn from

A caller's mistake inside a function call (a negative `k`, say) is a plain `ValueError` that names the value.
"""


class SegueError(Exception):
    """Base of all; its text is one line that a user can act on."""


class UserError(SegueError):
    """The caller's mistake."""


class InvalidInput(UserError):
    """A file, a row, an id or a value is not what the contract asks for."""


class ToItself(InvalidInput):
    """An edit that would relate something to itself."""


class NotOurs(InvalidInput):
    """An edit of what somebody else made in the same graph."""


class SettingsError(UserError):
    """An unknown key or an unusable value in the settings."""


class QueryRefused(UserError):
    """A query from outside that may write, read files or is not Cypher."""


class QueryTooLarge(UserError):
    """A query from outside that needs more memory than such queries are given."""


class UnknownSong(UserError):
    """A song id that neither the release nor the live state knows."""


class UnknownEntity(UserError):
    """An artist, tag or genre id that the release does not know."""


class NotInRelease(UserError):
    """A model or channel that ships, but that this release was made without."""


class ReleaseNotFound(UserError):
    """No such release, or none published yet."""


class StaleStep(UserError):
    """A refresh step whose inputs have to be made first."""


class SourceMismatch(UserError):
    """Another data source into a state folder that knows its own."""


class StoreUnavailable(SegueError):
    """The graph store or the event log does not answer."""


class NotWritable(StoreUnavailable):
    """The state folder is read-only, or its disk is full."""


class QueryTimeout(SegueError):
    """A query ran past its time limit."""


class Busy(SegueError):
    """Another process holds the lock that this work needs."""


class CorruptRelease(SegueError):
    """A file of a release is missing, or differs from its checksum."""


class FitError(SegueError):
    """Training ended with weights that are not finite."""


class NothingToLearn(FitError):
    """There was nothing to learn from."""
