"""The shift explorer: its arithmetic against the library's, and the page in a browser."""

import contextlib
import hashlib
import itertools
import json
import re
import shutil
import subprocess
import warnings
from html.parser import HTMLParser

import nbformat
import numpy as np
import pytest
from explorer_page import PAGE, PATIENCE, PICTURE, ROOT, check_explorer

pytestmark = pytest.mark.backend_free

SOURCE = PAGE.read_text(encoding="utf-8")
CORE = re.search(r'<script id="core">(.*?)</script>', SOURCE, flags=re.DOTALL).group(1)
ANSWER = (ROOT / "tests" / "explorer_core.js").read_text(encoding="utf-8")
CONTRAST = (ROOT / "tests" / "explorer_contrast.js").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def core(request):
    """Answers [[name, *arguments], ...] as the page's core does: in Node, or in the browser."""

    def in_node(calls):
        script = (
            f"{CORE}\nconst calls = JSON.parse(require('fs').readFileSync(0, 'utf8'));\n"
            f"process.stdout.write(JSON.stringify(({ANSWER})(calls)));"
        )
        done = subprocess.run(
            [node, "-e", script], input=json.dumps(calls), capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def in_browser(calls):
        page = request.getfixturevalue("browser").new_page()
        page.goto(PAGE.as_uri())
        answers = page.evaluate(ANSWER, calls)
        page.close()
        return answers

    node = shutil.which("node") or shutil.which("nodejs")
    return in_node if node else in_browser


# The arithmetic


def settings_of(version="paper", channels=96, num_div=12, pixels=1, blocks=1, mixing=False):
    return {
        "version": version,
        "channels": channels,
        "numDiv": num_div,
        "pixels": pixels,
        "blocks": blocks,
        "mixing": mixing,
    }


def library_step(shape, settings):
    """The library's shift (or its copy of the example's) as a function of a float64 array."""
    from keras import ops

    from shiftvit_utils.shift import shift
    from shiftvit_utils.shift_variants import shift_by_crop_and_pad

    # Moving the numbers of the cells says where each value goes, whatever floats a backend has.
    cells = np.arange(1, 1 + np.prod(shape), dtype="int32").reshape(1, *shape)
    num_div, pixels = settings["numDiv"], settings["pixels"]
    if settings["version"] == "paper":
        moved = shift(cells, num_div, pixels)
    else:
        group = np.split(cells, shape[2] // num_div, axis=-1)[0].shape[-1]
        moved = shift_by_crop_and_pad(cells, num_div, pixels, same_offset=True, group=group)
    source = ops.convert_to_numpy(moved).ravel()
    return lambda x: np.concatenate([[0.0], x.ravel()])[source].reshape(shape)


def library_stack(x, settings):
    """The arrays at every moment: the input, and after each shift and each mixing."""
    step = library_step(x.shape, settings)
    arrays = [x]
    for _ in range(settings["blocks"]):
        arrays.append(step(arrays[-1]))
        if settings["mixing"]:
            arrays.append(np.repeat(arrays[-1].mean(-1, keepdims=True), x.shape[-1], -1))
    return arrays


def random_cases(count, channels=None):
    """Arrays of random shape with settings that suit them, of both versions."""
    rng = np.random.default_rng(2201)
    for k in range(count):
        version = ("paper", "example")[k % 2]
        num_div = int(rng.integers(4, 9)) if version == "paper" else int(rng.integers(1, 5))
        depth = num_div * int(rng.integers(4, 7)) + (int(rng.integers(0, 4)) if k % 2 == 0 else 0)
        shape = (*(int(n) for n in rng.integers(2, 8, size=2)), channels or depth)
        if channels:
            num_div = int(rng.choice([4, 8] if version == "paper" else [2, 4]))
        most = max(shape) + 2 if version == "paper" else min(shape[:2])
        yield (
            rng.integers(0, 100, size=shape).astype("float64"),
            settings_of(
                version,
                shape[2],
                num_div,
                int(rng.integers(0, most)),
                int(rng.integers(1, 4)),
                bool(k // 2 % 2) or bool(channels),
            ),
        )


def test_shift_and_same_offset_are_the_library_s(core):
    cases = list(random_cases(60))
    names = {"paper": "shift", "example": "sameOffset"}
    calls = [
        [names[s["version"]], x.ravel().tolist(), x.shape, s["numDiv"], s["pixels"]]
        for x, s in cases
    ]
    answers = core(calls)
    for (x, settings), answer in zip(cases, answers, strict=True):
        expected = library_step(x.shape, settings)(x)
        np.testing.assert_array_equal(np.reshape(answer, x.shape), expected, str(settings))
    moved = [s["pixels"] > 0 and s["version"] == "paper" for _, s in cases]
    assert sum(moved) > 20, "too few of the cases move anything"


def test_a_left_shift_by_hand_and_what_the_example_makes_of_it(core):
    row = np.repeat([1, 2, 3, 4], 4).tolist()  # the same in each of four channels
    answers = core([[name, row, [1, 4, 4], 4, 1] for name in ("shift",)])
    assert answers[0][0::4] == [2, 3, 4, 0]
    assert answers[0][1::4] == [0, 1, 2, 3]
    column = np.repeat([1, 2, 3, 4], 8).tolist()  # two rows of two, eight channels
    (blanked,) = core([["sameOffset", column, [2, 2, 8], 2, 1]])
    assert blanked[0::8] == [1, 0, 3, 0]  # "left"
    assert blanked[2::8] == [0, 2, 0, 4]  # "right": channels 2 and 3
    assert blanked[4::8] == [1, 2, 0, 0]  # "up"
    assert blanked[6::8] == [0, 0, 3, 4]  # "down"


def test_stacked_blocks_are_stacked_shifts(core):
    # A mean over a power of two of channels is exact in any order of summation.
    cases = [*random_cases(30), *random_cases(20, channels=16)]
    answers = core([["moments", x.ravel().tolist(), x.shape, s] for x, s in cases])
    for (x, settings), arrays in zip(cases, answers, strict=True):
        expected = library_stack(x, settings)
        assert len(arrays) == len(expected)
        exact = not settings["mixing"] or x.shape[2] == 16
        for array, truth in zip(arrays, expected, strict=True):
            array = np.reshape(array, x.shape)
            np.testing.assert_allclose(array, truth, rtol=0 if exact else 1e-12)


def test_influence_is_what_an_impulse_at_each_cell_does(core):
    for version, num_div in (("paper", 5), ("paper", 4), ("example", 2)):
        settings = settings_of(version, 8, num_div, blocks=3, mixing=True)
        shape = (3, 4, 8)
        responses = []
        for row, column in np.ndindex(3, 4):
            impulse = np.zeros(shape)
            impulse[row, column] = 1.0
            responses.append(library_stack(impulse, settings))
        cells = [(t, r, c, k) for t in (0, 1, 2, 5, 6) for r, c in np.ndindex(3, 4) for k in (0, 7)]
        answers = core(
            [
                ["influence", shape, settings, t, {"row": r, "column": c, "channel": k}]
                for t, r, c, k in cells
            ]
        )
        for (t, r, c, k), weights in zip(cells, answers, strict=True):
            expected = [arrays[t][r, c, k] for arrays in responses]
            np.testing.assert_allclose(weights, expected, rtol=1e-12)


def test_reach_is_the_library_s_diamond(core):
    from shiftvit_utils.receptive_field import spread

    cases = list(itertools.product((1, 2, 3, 4), (4, 5, 12), (1, 2)))
    settings = [settings_of("paper", d, d, p, L, mixing=True) for L, d, p in cases]
    answers = core([["reach", s] for s in settings])
    formulas = core([["reachFormula", s] for s in settings])
    for (blocks, num_div, pixels), cells, formula in zip(cases, answers, formulas, strict=True):
        there = np.argwhere(spread(blocks, num_div, pixels) > 0) - blocks * pixels
        assert sorted(cells) == sorted(there.tolist())
        python = formula.replace("·", "*").replace("²", "**2")
        assert eval(python) == len(cells)


def test_reach_counts_by_hand(core):
    mixed = [settings_of(blocks=L, mixing=True) for L in range(1, 7)]
    assert [len(cells) for cells in core([["reach", s] for s in mixed])] == [5, 13, 25, 41, 61, 85]
    apart = settings_of(blocks=3, pixels=2)
    example = settings_of("example", blocks=6, mixing=True)
    still = settings_of(pixels=0, blocks=6, mixing=True)
    cells = core([["reach", s] for s in (apart, example, still)])
    assert sorted(cells[0]) == [[-6, 0], [0, -6], [0, 0], [0, 6], [6, 0]]
    assert cells[1:] == [[[0, 0]], [[0, 0]]]


def test_wrong_settings_get_the_library_s_words(core):
    from shiftvit_utils.shift import channels_per_group, check_shift_pixel

    pairs = [
        (96, 3),
        (96, 1),
        (4, 5),
        (7, 2),
        (96, 0),
        (96, -2),
        (96, 2.5),
        (16, 4),
        (3, 3),
        (3, 4),
    ]
    answers = core([["paperGroups", channels, num_div] for channels, num_div in pairs])
    refused = 0
    for (channels, num_div), answer in zip(pairs, answers, strict=True):
        try:
            width = channels_per_group(channels, num_div)
            expected = [width, 2 * width, 3 * width, 4 * width, channels]
            answer = [group["stop"] for group in answer]
        except ValueError as error:
            expected = {"error": str(error)}
            refused += 1
        assert answer == expected
    assert refused == len(pairs) - 1
    with pytest.raises(ValueError, match="shift_pixel") as error:
        check_shift_pixel(-1)
    assert core([["shift", [0] * 4, [1, 1, 4], 4, -1]]) == [{"error": str(error.value)}]


def test_the_example_s_groups_are_those_of_a_split_into_c_over_num_div_parts(core):
    pairs = [(c, d) for c in range(1, 40) for d in range(1, 12)] + [(96, 12), (192, 12), (768, 12)]
    answers = core([["exampleGroups", channels, num_div] for channels, num_div in pairs])
    refused = 0
    for (channels, num_div), answer in zip(pairs, answers, strict=True):
        try:
            parts = np.split(np.arange(channels), channels // num_div)
            parts[3]  # the example takes four
        except (ValueError, IndexError, ZeroDivisionError):
            refused += 1
            assert f"{channels} // {num_div}" in answer["error"]
        else:
            for group, part in zip(answer[:4], parts, strict=False):
                assert (group["start"], group["stop"]) == (part[0], part[-1] + 1)
    assert 0 < refused < len(pairs)


def test_the_line_of_code_does_what_the_library_does(core):
    shape = (4, 3, 24)
    cases = [
        settings_of(version, 24, num_div, pixels)
        for version, num_div, pixels in itertools.product(("paper", "example"), (4, 6), (0, 1, 2))
    ]
    groups = core([["groups", settings, shape] for settings in cases])
    calls = [
        ["codeLine", settings, group]
        for settings, five in zip(cases, groups, strict=True)
        for group in five
    ]
    lines = iter(core(calls))
    x = np.random.default_rng(3).normal(size=(1, *shape))
    for settings in cases:
        y = np.zeros_like(x)
        for line in itertools.islice(lines, 5):
            exec(line, {"x": x, "y": y})
        np.testing.assert_array_equal(y[0], library_step(shape, settings)(x[0]), str(settings))


def test_the_sentence_names_the_cell_whose_value_stands_there(core):
    shape = (4, 5, 12)
    picture = np.arange(1.0, 21.0).reshape(4, 5)
    x = np.repeat(picture[..., None], 12, axis=-1)
    came, zeros = 0, 0
    for version, num_div, blocks in (("paper", 6, 1), ("paper", 6, 3), ("example", 2, 2)):
        settings = settings_of(version, 12, num_div, blocks=blocks)
        y = library_stack(x, settings)[-1]
        cells = list(np.ndindex(*shape))
        sentences = core(
            [
                ["cameFrom", shape, settings, blocks, {"row": r, "column": c, "channel": k}]
                for r, c, k in cells
            ]
        )
        for (r, c, k), sentence in zip(cells, sentences, strict=True):
            assert sentence.startswith(f"Row {r}, column {c} of channel {k} ")
            if named := re.search(r"came from row (\d+), column (\d+)", sentence):
                came += 1
                assert y[r, c, k] == picture[int(named[1]), int(named[2])]
            else:
                zeros += 1
                assert y[r, c, k] == 0
                assert "zero" in sentence
    assert came > 0
    assert zeros > 0


def test_sentences_about_mixtures(core):
    shape, cell = (8, 8, 96), {"row": 0, "column": 4, "channel": 5}
    mixed = settings_of(blocks=2, mixing=True)
    example = settings_of("example", blocks=2, mixing=True)
    every = settings_of(num_div=4, blocks=2, mixing=True)
    sentences = core(
        [
            ["cameFrom", shape, mixed, 4, cell],
            ["cameFrom", shape, example, 4, cell],
            ["cameFrom", shape, every, 2, cell],
        ]
    )
    # Of the 13 cells of the diamond, the four above the map are missing.
    assert "is a mixture of 9 cells of x." in sentences[0]
    # In each block 1/12 moves away upwards and 1/12 comes in as zeros at the top.
    kept = 1 - library_stack(np.ones(shape), mixed)[4][0, 4, 5]
    assert f"{100 * kept:.0f} % of it is zeros from outside." in sentences[0]
    assert "still holds row 0, column 4 alone." in sentences[1]
    assert "was blanked" in sentences[1]
    assert "Its own old value is not among them." in sentences[2]


# The file


def test_the_file_is_small_and_holds_everything():
    assert len(SOURCE.encode()) < 60_000
    names = "src|href|url|fetch|XMLHttpRequest|WebSocket|EventSource|sendBeacon|import"
    assert not re.search(rf"(?i)\b({names})\s*[=(:]|@import\b", SOURCE)
    addresses = set(re.findall(r"https?://[^\"'\s]+", SOURCE))
    assert addresses <= {"http://www.w3.org/2000/svg"}, "a name of a format, never fetched"


def test_colours_and_arrows_are_the_course_s(core):
    from shiftvit_utils.figures import DIRECTION_STYLE

    in_light = dict(re.findall(r"--(\w+): (#\w{6})", SOURCE.split("@media")[0]))
    assert {name: in_light[name].upper() for name in DIRECTION_STYLE} == {
        name: style["color"].upper() for name, style in DIRECTION_STYLE.items()
    }
    (groups,) = core([["paperGroups", 96, 12]])
    assert [(group["name"], group["arrow"]) for group in groups] == [
        (name, style["arrow"]) for name, style in DIRECTION_STYLE.items()
    ]


def test_show_explorer_carries_the_page_unchanged():
    from shiftvit_utils.explorer import explorer_html, show_explorer

    frames = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag, attributes):
            if tag == "iframe":
                frames.append(dict(attributes))

    with warnings.catch_warnings():
        warnings.simplefilter("error")  # IPython warns of a bare iframe
        output = show_explorer(height=700)
    Reader().feed(output._repr_html_())
    (frame,) = frames
    assert frame["srcdoc"] == explorer_html() == SOURCE
    assert frame["title"] == "Shift explorer"
    assert "height: 700px" in frame["style"]
    assert frame["sandbox"] == "allow-scripts"


@pytest.mark.parametrize("height", [0, -5, 7.5, "700px", True])
def test_show_explorer_wants_pixels(height):
    from shiftvit_utils.explorer import show_explorer

    with pytest.raises(ValueError, match="height must be an int >= 1"):
        show_explorer(height=height)


def test_the_picture_shows_this_version_of_the_page():
    from PIL import Image

    assert PICTURE.stat().st_size <= 200_000
    with Image.open(PICTURE) as picture:
        assert picture.width >= 1200
        shown = picture.text["page"]
    now = hashlib.sha256(PAGE.read_bytes()).hexdigest()
    assert shown == now, "take it again: python tests/explorer_page.py"


# The page


@contextlib.contextmanager
def opened(browser, **context):
    """The page in a tab of its own, which must not complain nor ask for anything."""
    tab = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **context})
    page = tab.new_page()
    page.set_default_timeout(PATIENCE)
    complaints, requests = [], []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(PAGE.as_uri())
    yield page
    tab.close()
    assert complaints == []
    assert requests == [PAGE.as_uri()]


def values(page, grid="after"):
    """What the cells of a map say, as an array."""
    return np.array(page.locator(f"#{grid} > .rows .cell span").all_text_contents())


def status(page):
    return page.get_by_role("status").text_content()


def set_range(page, name, value):
    slider = page.get_by_role("slider", name=name)
    slider.fill(str(value))


def y_cell(page, row, column):
    return page.locator(f'#after [data-row="{row}"][data-column="{column}"]')


def x_cell(page, row, column):
    return page.locator(f'#before [data-row="{row}"][data-column="{column}"]')


def test_works_as_a_file(browser):
    with opened(browser) as page:
        before = values(page)
        check_explorer(page)
        assert (values(page) == before).all()


def test_works_in_exported_html(browser, tmp_path):
    from nbconvert import HTMLExporter

    from shiftvit_utils.explorer import show_explorer

    cell = nbformat.v4.new_code_cell("show_explorer()", execution_count=1)
    data = {"text/html": show_explorer()._repr_html_(), "text/plain": "<HTML object>"}
    cell.outputs = [nbformat.v4.new_output("execute_result", data, execution_count=1)]
    notebook = nbformat.v4.new_notebook(cells=[cell])
    exported = tmp_path / "notebook.html"
    exported.write_text(HTMLExporter().from_notebook_node(notebook)[0], encoding="utf-8")

    page = browser.new_page(viewport={"width": 1300, "height": 900})
    # The export itself loads MathJax; the explorer must not need a network.
    page.route(re.compile("^https?:"), lambda route: route.abort())
    asked = []
    page.on("request", lambda request: asked.append((request.frame.parent_frame, request.url)))
    page.goto(exported.as_uri())
    frame = page.locator("iframe[title='Shift explorer']").element_handle().content_frame()
    check_explorer(frame)
    assert [url for parent, url in asked if parent and url != "about:srcdoc"] == []
    assert frame.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.close()


def test_keyboard_alone(browser):
    with opened(browser, reduced_motion="reduce") as page:
        seen = []
        for _ in range(40):
            page.keyboard.press("Tab")
            stop = page.evaluate(
                """() => {
                  const at = document.activeElement;
                  const box = at.closest(".group, .switch label") ?? at;
                  const name = at.id || at.name || at.closest("[role=grid]")?.id;
                  const style = getComputedStyle(box);
                  return [name, style.outlineStyle === "none" ? 0 : parseFloat(style.outlineWidth)];
                }"""
            )
            if seen and stop == seen[0]:
                break
            seen.append(stop)
        names = [name for name, _ in seen if name]
        assert names == [
            *("version", "picture", "size", "channels", "numDiv", "pixels", "blocks", "mixing"),
            *("reset", "before", "after", "play", "step", "moment", "group-left", "channel"),
        ]
        assert all(width >= 2 for name, width in seen if name), f"a stop without a ring: {seen}"

        y_cell(page, 3, 3).focus()
        page.keyboard.press("ArrowRight")
        page.keyboard.press("ArrowDown")
        assert status(page).startswith("Row 4, column 4 of channel 0 came from row 4, column 5.")
        page.keyboard.press("Control+Home")
        page.keyboard.press("ArrowUp")
        assert status(page).startswith("Row 0, column 0 of channel 0 came from row 0, column 1.")
        page.keyboard.press("Control+End")
        assert "is zero: it came in from outside." in status(page)
        assert page.locator("#after [tabindex='0']").count() == 1

        page.get_by_role("radio", name=re.compile("left")).focus()
        page.keyboard.press("ArrowRight")
        assert page.get_by_role("heading", name=re.compile("channel 8: → moves right")).is_visible()
        x_cell(page, 2, 5).focus()
        page.keyboard.press("Enter")
        assert values(page, "before").tolist().index("1") == 2 * 8 + 5
        assert values(page).tolist().index("1") == 2 * 8 + 6
        assert page.evaluate("document.activeElement.dataset.column") == "5", "the focus is lost"


def test_a_cell_of_x_tells_where_it_went(browser):
    with opened(browser) as page:
        x_cell(page, 2, 4).hover()
        assert (
            status(page) == "Row 2, column 4 of x went to row 2, column 3 of channel 0. Value: 21."
        )
        assert page.locator("#after .marked").get_attribute("aria-label") == "row 2, column 3: 21"
        x_cell(page, 2, 0).hover()
        assert "is lost in channel 0" in status(page)
        page.get_by_role("radio", name=re.compile("unmoved")).check()
        x_cell(page, 2, 0).hover()
        assert "stayed where it was in channel 32" in status(page)


def test_three_mixed_blocks_make_a_diamond(browser):
    with opened(browser) as page:
        page.get_by_role("combobox", name="Picture").select_option("Impulse")
        page.get_by_role("checkbox", name=re.compile("Mix channels")).check()
        set_range(page, re.compile("^Blocks"), 3)
        y_cell(page, 3, 3).hover()
        assert page.locator("#before .marked").count() == 25
        assert "mixture of 25 cells of x" in status(page)
        assert (
            page.locator("#seen").text_content() == "25 cells of x after 3 blocks = 2·3² + 2·3 + 1"
        )
        assert page.locator("#ladder [aria-current]").text_content() == "25"
        assert page.locator("#ladder li").all_text_contents()[:4] == ["5", "13", "25", "41"]
        y_cell(page, 0, 0).focus()
        y_cell(page, 0, 0).hover()
        assert page.locator("#before .marked").count() == 10
        assert "10 of them lie on this map, seen from row 0, column 0" in page.content()
        page.get_by_role("radio", name=re.compile("Keras example")).check()
        y_cell(page, 3, 3).hover()
        assert page.locator("#before .marked").count() == 1
        assert page.locator("#seen").text_content() == "1 cell of x after 3 blocks"


def test_step_and_moment_walk_through_the_blocks(browser):
    with opened(browser, reduced_motion="reduce") as page:
        set_range(page, re.compile("^Blocks"), 2)
        assert values(page)[:8].tolist() == ["3", "4", "5", "6", "7", "8", "0", "0"]
        step = page.get_by_role("button", name="Step")
        step.click()
        assert values(page)[:8].tolist() == ["2", "3", "4", "5", "6", "7", "8", "0"]
        assert status(page) == "Block 1, shift: channel 0 moved left by 1 pixel."
        assert page.locator(".film").count() == 0, "someone asked for less motion"
        step.click()
        assert values(page)[:3].tolist() == ["3", "4", "5"]
        set_range(page, re.compile("^Moment"), 0)
        assert (values(page) == values(page, "before")).all()
        labels = page.get_by_role("button", name="Play").evaluate(
            """(play) => [0, 1].map(() => { play.click(); return play.textContent; })"""
        )
        assert labels == ["❚❚ Pause", "▶ Play"]
        page.get_by_role("button", name="Reset").click()
        assert values(page)[:3].tolist() == ["2", "3", "4"]


def test_the_animation_slides_and_ends(browser):
    with opened(browser) as page:
        ends = page.evaluate(
            """() => {
              document.getElementById("step").click();
              const maps = document.querySelectorAll("#after > .film, .group .map > .film");
              return [...maps].map((film) => {
                const rows = film.firstChild;
                const [motion] = rows.getAnimations();
                motion.currentTime = motion.effect.getTiming().duration - 0.001;
                const { e, f } = new DOMMatrix(getComputedStyle(rows).transform);
                const cell = rows.getBoundingClientRect().width / 8;
                return [Math.round(e / cell), Math.round(f / cell)];
              });
            }"""
        )
        large, *groups = ends
        assert large == [-1, 0]
        assert groups == [[-1, 0], [1, 0], [0, -1], [0, 1], [0, 0]]
        page.locator(".film").first.wait_for(state="detached")

        # Two blocks, from x to the end, and the button waits for the next time.
        set_range(page, re.compile("^Blocks"), 2)
        page.evaluate(
            """() => {
              const label = document.getElementById("momentShown");
              globalThis.moments = [];
              new MutationObserver(() => globalThis.moments.push(label.textContent))
                .observe(label, { childList: true });
              document.getElementById("play").click();
            }"""
        )
        page.get_by_text("Moment: block 2, shift").wait_for()
        page.get_by_role("button", name="Play").wait_for()
        assert page.evaluate("moments") == ["x", "block 1, shift", "block 2, shift"]
        assert page.locator(".film").count() == 0


def test_words_hold_for_every_setting(browser):
    with opened(browser) as page:
        shift_pixel, blocks = re.compile("^shift_pixel"), re.compile("^Blocks")
        assert page.locator("#codeTitle").text_content() == "In code: one shift, left"
        set_range(page, shift_pixel, 0)
        assert page.get_by_text("by 0 pixels, none moves.").is_visible()
        assert page.locator("#codeWords").text_content() == "A shift by 0 pixels is a copy."
        set_range(page, shift_pixel, 2)
        page.get_by_role("radio", name=re.compile("Keras example")).check()
        assert page.get_by_text("lose 2 lines, none moves.").is_visible()
        assert "the 2 lines on the right are blanked." in page.locator("#codeWords").text_content()
        page.get_by_role("button", name="Reset").click()

        page.get_by_role("checkbox", name=re.compile("Mix")).check()
        page.get_by_role("spinbutton", name="num_div").fill("4")
        said = page.locator("#seenWords")
        assert "an odd number of steps away, not itself." in said.text_content()
        set_range(page, blocks, 2)
        assert "an even number of steps away, itself among them." in said.text_content()
        set_range(page, shift_pixel, 2)
        assert "an even number of steps of 2 pixels away" in said.text_content()


def test_a_browser_that_keeps_its_controls_shows_what_they_say(browser):
    """Firefox restores the controls of the last visit, before the script runs."""
    kept = SOURCE.replace('step="1" value="96"', 'step="1" value="20"')
    assert kept != SOURCE
    page = browser.new_page()
    page.set_content(kept)
    assert page.get_by_role("spinbutton", name="Channels").input_value() == "96"
    assert page.get_by_text("32 of 96 channels (33 %) move.").is_visible()
    page.close()


def test_wrong_settings_say_what_to_do_and_heal(browser):
    with opened(browser) as page:
        problem = page.get_by_role("alert")
        num_div = page.get_by_role("spinbutton", name="num_div")
        for value, words in (
            ("3", "need 128 channels, but there are 96. Use num_div >= 4."),
            ("", "num_div must be a positive int, got nothing."),
            ("97", "is larger than the 96 channels"),
        ):
            num_div.fill(value)
            assert words in problem.text_content()
            assert num_div.get_attribute("aria-invalid") == "true"
            assert page.locator(".maps-card").evaluate("part => part.inert")
        num_div.fill("6")
        assert not problem.is_visible()
        assert num_div.get_attribute("aria-invalid") is None
        assert page.get_by_text("64 of 96 channels (67 %) move.").is_visible()

        page.get_by_role("radio", name=re.compile("Keras example")).check()
        page.get_by_role("spinbutton", name="Channels").fill("20")
        assert "20 // 6 = 3 parts and needs four. Use num_div <= 5." in problem.text_content()
        page.get_by_role("button", name="Reset").click()
        assert not problem.is_visible()
        assert page.get_by_text("32 of 96 channels (33 %) move.").is_visible()


def test_every_combination_of_settings_draws(browser):
    cases = list(
        itertools.product(
            (4, 8, 12), ("numbers", "impulse", "digit"), ("paper", "example"), (0, 2), (False, True)
        )
    )
    with opened(browser) as page:
        drawn = page.evaluate(
            """(cases) => {
              const set = (control, property, value) => {
                control[property] = value;
                control.dispatchEvent(new Event(control.name === "version" ? "change" : "input"));
              };
              const at = (id) => document.getElementById(id);
              const texts = (id) => [...document.querySelectorAll(`#${id} > .rows .cell span`)]
                .map((span) => span.textContent);
              return cases.map(([size, picture, version, pixels, mixing]) => {
                set(at("size"), "value", size);
                set(at("picture"), "value", picture);
                set(document.querySelector(`[name=version][value=${version}]`), "checked", true);
                set(at("mixing"), "checked", mixing);
                set(at("pixels"), "value", pixels);
                const zeros = document.querySelectorAll("#after .zero").length;
                return [texts("before"), texts("after"), zeros];
              });
            }""",
            cases,
        )
    for (size, _, version, pixels, mixing), (before, after, zeros) in zip(
        cases, drawn, strict=True
    ):
        x, y = np.reshape(before, (size, size)), np.reshape(after, (size, size))
        assert len(np.unique(x)) > 1
        assert zeros == (0 if mixing else size * pixels)
        if pixels == 0:
            assert (y == x).all()
        elif not mixing and version == "paper":
            assert (y[:, :-2] == x[:, 2:]).all()
        elif not mixing:
            assert (y[:, :-2] == x[:, :-2]).all()


def test_light_and_dark_are_readable_and_nothing_sticks_out(browser):
    with opened(browser) as page:
        looks = {}
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            looks[scheme] = page.evaluate("getComputedStyle(document.body).backgroundColor")
            for state in ("numbers", "mixed", "wrong"):
                page.get_by_role("button", name="Reset").click()
                if state == "mixed":
                    page.get_by_role("combobox", name="Picture").select_option("Digit 3")
                    page.get_by_role("checkbox", name=re.compile("Mix channels")).check()
                    page.get_by_role("radio", name=re.compile("down")).check()
                if state == "wrong":
                    page.get_by_role("spinbutton", name="num_div").fill("3")
                contrast = page.evaluate(CONTRAST)
                assert contrast["checked"] > 150
                assert contrast["found"] == [], f"{scheme}, {state}"
        assert looks["light"] != looks["dark"]

        page.get_by_role("button", name="Reset").click()
        for width in (360, 500, 761, 979, 980, 1100, 1400):
            page.set_viewport_size({"width": width, "height": 800})
            sticks_out = page.evaluate(
                """() => [...document.querySelectorAll("body *")]
                     .filter((e) => e.checkVisibility() && !e.closest(".map, svg"))
                     .filter((e) => e.getBoundingClientRect().right > innerWidth + 0.5)
                     .map((e) => e.outerHTML.slice(0, 80))"""
            )
            assert sticks_out == [], width
            assert page.evaluate("document.documentElement.scrollWidth") <= width
