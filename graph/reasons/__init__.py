"""Why a song: what reasons start from, each kind of path, and what tags may be cited."""
