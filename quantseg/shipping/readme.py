"""README.md of an app: what the folder is, how to start it, what a phone needs, how to remove it."""

from quantseg.report.tables import escaped
from quantseg.shipping.about import made_for
from quantseg.shipping.facts import AppFacts

START = (
    "A browser runs this app only from a web server. In a terminal, inside this folder, run",
    "python3 -m http.server",
    "(on Windows: `py -m http.server`), and open",
    "http://localhost:8000",
)
"""How to start it. The page says the same when it is opened as a file."""
PHONE = (
    "Put the folder on a web host, which needs https and nothing else. Over plain http, as from another "
    "computer in the same network, pictures can be chosen and masks saved; the camera, use without a network, and "
    "several threads need https."
)
REMOVE = (
    "Delete the folder, and in the browser the data of this site: in its settings, or by the symbol beside the address."
)


def readme(facts: AppFacts, about: str | None) -> str:
    """The text as Markdown that reads well as plain text. about: what pictures the model is for, as its author says."""
    before, command, between, address = START
    return (
        "\n\n".join(
            (
                f"# {escaped(facts.name)}",
                escaped(made_for(about)),
                "A web app that finds what is where in a picture or in the camera's frames. Pictures do not leave the "
                "device. After the first visit it works without a network.",
                "## Start it",
                before,
                f"    {command}",
                between,
                f"    {address}",
                "## On a phone",
                PHONE,
                "## Remove it",
                REMOVE,
                "## What is here",
                "`index.html` is the page, `model/` holds the model, `native/` programs in other languages; "
                "`MODEL_CARD.md` says how the model was made and what is known of it.",
            )
        )
        + "\n"
    )
