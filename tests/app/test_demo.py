"""The demo's data: what they are said to be."""

from divkit.app.demo import demo
from divkit.data.encoding import Scale, encode


def test_demo() -> None:
    x, y, label_x, label_y, sentence = demo()
    assert (x.rows, y.rows) == (221, 221)
    assert label_x != label_y
    assert sentence.endswith(".")
    e = encode(x, y, scale=Scale.SD)
    assert e.categorical == ("sex",)
    shift = dict(zip(e.names, e.x.mean(0) - e.y.mean(0)))
    assert abs(shift["log triglycerides"]) > 0.9
    assert abs(shift["sex=1"]) < 0.02
