"""What people write ⇄ what it declares.

    load                       a project's files → `Desired`, and everything that is wrong with them
    scaffold                   what a new project begins with
    published                  the JSON Schemas and the field reference
    codes                      every finding that files can raise

    source, place, position    files → YAML documents that know the place of every character
    document, schema           what may stand in them, and what has the wrong shape
    project, overlay, settle   environments: their overrides and variables
    content, joint             documents → the contents of definitions, and what these do not agree on

Nothing is imported here, because half of the commands need only a part of it.
"""
