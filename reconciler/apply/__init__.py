"""Carries out plans. This module is the table of contents.

walk            a plan's stages through a target's writer, and the report of what came of each change
journal         what is remembered of an apply, line by line: the form, and what the lines tell together
journal_file    the files behind it, on disk before the next step is made
rest            what an apply that did not come to its end has left to do, and the way to do it
"""

from reconciler.apply.rest import resume
from reconciler.apply.walk import Failure, Report, Walk, apply

__all__ = ["Failure", "Report", "Walk", "apply", "resume"]
