"""The demo: a web page on a trained network, for pictures of your own.

`make demo` or `python -m shiftvit_utils.demo` starts it on the weights that come with the library,
`--model` on a model or a run of yours. It needs Gradio and no network: the page asks nothing of any
other host, and pictures go nowhere but to the machine that runs it.
"""

from shiftvit_utils.demo.answers import UploadLimits
from shiftvit_utils.demo.page import build_demo, launch_demo

__all__ = ["UploadLimits", "build_demo", "launch_demo"]
