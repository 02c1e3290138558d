"""Shipping: from a quantised model to a folder that is an app, for browsers (offline too) and for other languages.

facts.py reads from the model what an app must know; contents.py puts the files of the folder together, from the page
(web/), programs in other languages (native/), the model in other formats and the model card; the caller writes them.
"""

from quantseg.shipping.about import checked_about
from quantseg.shipping.contents import App, app_of
from quantseg.shipping.facts import AppFacts, facts_of
from quantseg.shipping.folder import LISTING, check_folder, write_folder
from quantseg.shipping.models import PageOptions, app_of_file, app_of_result, is_int8
from quantseg.shipping.story import Story

__all__ = [
    "LISTING",
    "App",
    "AppFacts",
    "PageOptions",
    "Story",
    "app_of",
    "app_of_file",
    "app_of_result",
    "check_folder",
    "checked_about",
    "facts_of",
    "is_int8",
    "write_folder",
]
