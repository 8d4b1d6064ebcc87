"""The scripts of the examples in their short mode, and the page that lists them.

What a script claims it checks itself; here it has to say its line.
"""

import re
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from xml.etree import ElementTree

import pytest

FOLDER = Path(__file__).parent.parent / "examples"
# No topic of the lecture: tested in test_example.py and test_readme.py, or shared by the others.
OTHERS = {"common", "draw_graphs", "first_graph", "train_digits"}
SCRIPTS = sorted({path.stem for path in FOLDER.glob("*.py")} - OTHERS)

LINES = {
    "activations": r"^ +slope     0\.0875   1\.0663   1\.7563   1\.7581   1\.0507   1\.0507 ",
    "adversarial": r"^  0\.20 +\d+\.\d% +\d+\.\d% +\d+\.\d%$",
    "batch_norm": r"^conv-ReLU-BN    1\.0 +\d+\.\d% +\d+\.\d%$",
    "c3d_moving_digits": r"^kernels of 3x3x3: 3,764 parameters, test accuracy ([6-9]\d|100)\.\d%$",
    "cnn_features": r"^features +([5-9]\d)\.\d%$",
    "conv_matrix": r"^dI = C\^T dh, as convolution gives it$",
    "convolution": r"^8x12      3x5     1x2     1x0      1x2       8x2      8x2$",
    "curvature": r"^  \+20 +\d\.\d{4} +\d\.\d{4} +\d\.\d{4} +\d+ +\d\.\d\d$",
    "deformable_conv": r"^\( 1,  1\) .* \(2\.00, 2\.00\)$",
    "depthwise_conv": r"^separable +4,672 +0\.127 +9,568,256 ",
    "dilated_conv": r"^rates 1, 2, 5: a field of 17x17 pixels, of which 289 of 289 are used$",
    "dropout": r"^train: 2 becomes \[0\.0, 2\.66\d+\], 7[45]\.\d+% are kept, ",
    "four_norms": r"^group +4 means, each of  36 numbers$",
    "global_pooling": r"^global average +480 +\d+\.\d%$",
    "gradient_penalty": r"^penalty 10 .* at the end (0\.[789]\d|1\.[012]\d)$",
    "hog_against_cnn": r"^anywhere in 12x12 +\d+\.\d% +\d+\.\d% +\d+\.\d%",
    "implicit_layer": r"^operators in the graph +6 +1605$",
    "maml": r"^MAML +error \d\.\d+, after one step 0\.\d+$",
    "median_filter": r"^median 3x3 +PSNR \d+\.\d+ dB$",
    "pooling": r"^gradient of max pooling$",
    "saliency": r"^Grad-CAM +\d+\.\d% on the digit$",
    "transposed_conv": r"^4x4  4x4 .* equal both ways$",
    "vanishing_gradients": r"^first layer / last layer: sigmoid \d\.?e-0[5-9], ReLU ",
}
PICTURES = {  # how many
    "activations": 1,
    "convolution": 2,
    "deformable_conv": 1,
    "global_pooling": 1,
    "median_filter": 6,
    "vanishing_gradients": 1,
}


@pytest.fixture
def script(monkeypatch, tmp_path):
    """Loads a script by its name, in an empty working directory."""
    monkeypatch.syspath_prepend(FOLDER)
    monkeypatch.chdir(tmp_path)

    def load(name):
        spec = spec_from_file_location(name, FOLDER / f"{name}.py")
        module = module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    yield load
    sys.modules.pop("common", None)


def test_every_script_has_its_line():
    assert sorted(LINES) == SCRIPTS


@pytest.mark.parametrize("name", SCRIPTS)
def test_it_says_its_line_and_writes_its_pictures(name, script, tmp_path, capsys):
    folder = tmp_path / "pictures"
    script(name).main(["--quick", *(["--out", str(folder)] if name in PICTURES else [])])
    assert re.search(LINES[name], capsys.readouterr().out, re.MULTILINE)
    assert [path for path in tmp_path.iterdir() if path != folder] == []
    pictures = list(folder.glob("*"))
    assert len(pictures) == PICTURES.get(name, 0)
    for path in pictures:
        if path.suffix == ".svg":
            assert ElementTree.parse(path).getroot().tag.endswith("svg")
        else:
            assert path.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("name", SCRIPTS)
def test_it_explains_itself(name, script, capsys):
    with pytest.raises(SystemExit) as stopped:
        script(name).main(["--help"])
    assert stopped.value.code == 0
    assert "--quick" in capsys.readouterr().out


def test_a_false_claim_stops_a_script(script):
    with pytest.raises(SystemExit, match="not so: water is dry"):
        script("common").check(False, "water is dry")


def test_a_file_is_no_place_for_pictures(script, tmp_path, capsys):
    (tmp_path / "taken").write_text("")
    with pytest.raises(SystemExit) as stopped:
        script("activations").main(["--out", "taken"])
    assert stopped.value.code == 2
    assert "--out: " in capsys.readouterr().err


# The page -----------------------------------------------------------------------------------------

PAGE = (FOLDER / "README.md").read_text()


def test_the_page_has_every_topic_and_script():
    assert re.findall(r"^\| (A\d+) ", PAGE, re.MULTILINE) == [f"A{n}" for n in range(1, 19)]
    links = re.findall(r"\]\(([^)]+)\)", PAGE)
    assert {path.name for path in FOLDER.glob("*.py")} <= set(links)
    assert [link for link in links if not (FOLDER / link).is_file()] == []
