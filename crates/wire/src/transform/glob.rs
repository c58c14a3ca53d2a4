//! Shell patterns over names, as Python's `fnmatch.fnmatchcase` reads them: `*`, `?`, `[abc]`, `[!a-z]`; `*` crosses dots.
