"""Tables of a page sort by a click on a header, in a browser where there is one."""

import re
import subprocess
from pathlib import Path

import pytest

from quantseg.report import rendering
from tests.bench.screenshots import browser

SCRIPT = Path(rendering.__file__).parent / "templates" / "sort.js"
PAGE = """<!doctype html><meta charset="utf-8"><table>
<thead><tr><th>name</th><th>size</th></tr></thead><tbody>
<tr><td>b10</td><td data-sort="10">10.0 MB</td></tr>
<tr><td>b9</td><td>–</td></tr>
<tr><td>a</td><td data-sort="9">9.00 MB</td></tr><tr class="remark"><td colspan="2">of a</td></tr>
</tbody></table><script>{script}</script><script>
const heads = [...document.querySelectorAll("thead th")];
for (const click of {clicks}) heads[click].firstElementChild.click();
</script>"""

pytestmark = [pytest.mark.slow, pytest.mark.skipif(browser() is None, reason="no browser is installed")]


def shown(folder: Path, clicks: list[int]) -> tuple[list[str], list[str]]:
    """The rows of the table by their first cell, after clicks on these headers, and the directions of sorting."""
    page = folder / "page.html"
    text = PAGE.replace("{script}", SCRIPT.read_text(encoding="utf-8")).replace("{clicks}", str(clicks))
    page.write_text(text, encoding="utf-8")
    flags = ["--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder}/profile", "--dump-dom"]
    program = browser()
    assert program is not None
    done = subprocess.run([program, *flags, page.as_uri()], capture_output=True, text=True, timeout=120, check=True)
    table = done.stdout[: done.stdout.index("</table>")]
    return re.findall(r"<tr[^>]*><td[^>]*>([^<]+)", table), re.findall(r'aria-sort="(\w+)"', table)


@pytest.mark.parametrize(
    ("clicks", "rows", "direction"),
    [
        ([], ["b10", "b9", "a", "of a"], []),
        ([0], ["a", "of a", "b9", "b10"], ["ascending"]),
        ([1], ["a", "of a", "b10", "b9"], ["ascending"]),
        ([1, 1], ["b10", "a", "of a", "b9"], ["descending"]),
        ([1, 1, 1], ["b10", "b9", "a", "of a"], []),
        ([1, 0], ["a", "of a", "b9", "b10"], ["ascending"]),
    ],
)
def test_a_click_sorts_by_numbers_or_names_and_remarks_follow(
    tmp_path: Path, clicks: list[int], rows: list[str], direction: list[str]
) -> None:
    """Numbers sort by value, names by their numbers too; what has none comes last; a third click restores the order."""
    assert shown(tmp_path, clicks) == (rows, direction)
