"""Where the values of `${secret.NAME}` come from. This module is the table of contents.

    files      a directory with a file for each, or one file with all of them
    command    a program that prints the value: Vault, SOPS, pass
    sources    the first of several that has a value; a name that may be asked for
    pending    that a value is being read, and whoever wants it has to wait

A source is a function from a name to a value, None when it has none. Rules:

1. A source is asked on the way of every request, within the event loop: it answers from memory, or from what costs no
   more than a look at a file of this machine. What takes longer raises `SecretPending` there; elsewhere it blocks.
2. A value is in no log, message, exception and `repr`; names and reasons are. What a program writes to its stderr is
   nobody's to show.
3. A value that changed is taken up without a restart: from a file within a second, from a command within five minutes.
"""

from reconciler.runtime.secrets.command import Command
from reconciler.runtime.secrets.files import DirectoryOfSecrets, FileOfSecrets
from reconciler.runtime.secrets.pending import SecretPending
from reconciler.runtime.secrets.sources import Source, first_of

__all__ = ["Command", "DirectoryOfSecrets", "FileOfSecrets", "SecretPending", "Source", "first_of"]
