"""Words on a screen: the command line, one module for each verb.

1. A verb reads its options, asks another layer, shows what came back and picks an exit code (`exit_code`). It decides
   nothing about callbacks.
2. `--help` stays fast: at its top a verb's module imports what is light (typer, `diagnostics`, this package); what is
   heavy (pydantic, httpx, deepdiff, starlette) is imported in the body of the verb that needs it.
3. Results go to stdout, talk goes to stderr, and neither is coloured unless it is a terminal (`terminal`).
4. `render` turns values into text and computes nothing. Text from users, devices and receivers reaches a screen only
   with its control characters made visible.
5. `wiring` alone names concrete stores, targets and channels, and reads the environment.
"""
