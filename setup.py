# SPDX-License-Identifier: Apache-2.0
"""Packaging of IFC. The ranges are what is tested; requirements.lock pins one set of them."""

import re
from pathlib import Path

from setuptools import find_packages, setup

VERSION = re.search(r'__version__ = "(.+)"', Path("projects/IFC/ifc/version.py").read_text())[1]

APP = ["gradio>=6.31,<7"]  # ifc app
DOCS = ["furo>=2025.12", "myst-parser>=4", "sphinx>=8.1"]  # the site of docs/; tested with Sphinx 9.0
FAST_COCO = ["faster-coco-eval>=1.6"]  # AP of COCO test sets; pycocotools does it otherwise
HUB = ["huggingface-hub>=2.4"]  # ifc.load("hf://owner/name")
RAY = ["ray[data]>=2.60"]  # ifc batch
REMOTE = ["gcsfs>=2026.8", "s3fs>=2026.9"]  # videos behind gs:// and s3://, by fsspec; no test needs them
ONNX = ["onnx>=1.23", "onnxruntime>=1.23", "onnxscript>=0.7"]  # ifc export, and what it exports
SUPERVISION = ["supervision>=0.31"]  # frame.to_supervision(); those before 0.30 bring opencv-python, see below
TIMM = ["timm>=1.0.31"]  # backbones
TRACKING = ["trackeval>=1.3"]  # HOTA, IDF1 and MOTA

setup(
    name="detectron2-ifc",
    version=VERSION,
    description="Inter-frame Communication Transformers (IFC): video instance segmentation as a detectron2 plugin",
    license="Apache-2.0",
    classifiers=[
        "Development Status :: 4 - Beta",
        "Intended Audience :: Science/Research",
        "Operating System :: OS Independent",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Scientific/Engineering :: Image Recognition",
    ],
    packages=[*find_packages("projects/IFC", include=["ifc", "ifc.*"]), "ifc.configs"],
    package_dir={"ifc": "projects/IFC/ifc", "ifc.configs": "projects/IFC/configs"},
    package_data={"": ["*.css", "*.html", "*.js", "*.yaml"], "ifc": ["py.typed", "models/*/*"]},
    entry_points={"console_scripts": ["ifc=ifc.cli.main:main"]},
    python_requires=">=3.10,<3.14",
    install_requires=[
        "torch>=2.11,<2.16",
        "torchvision>=0.26,<0.30",
        # And detectron2 0.5 or newer, which is not on PyPI under this name: `ifc install-detectron2` installs it.
        "av>=17",
        "fsspec>=2025.3",
        "fvcore>=0.1.5.post20221221",
        "jinja2>=3.1",
        "matplotlib>=3.9",
        "numpy>=1.26",
        "packaging>=24",
        # detectron2's visualizer imports cv2. opencv-python's wheels need the system's libGL and X11, which servers
        # and containers lack; the headless ones have the same functions but for windows.
        "opencv-python-headless>=4.11",
        "pillow>=10.1",
        "pycocotools>=2.0.8",
        "safetensors>=0.8",
        "scipy>=1.11",
        "simplejpeg>=1.9",  # the same JPEG decoder as Pillow's, without its copies
        "tabulate>=0.9",
        "tensorboard>=2.18",
        "tqdm>=4.66",
        "typer>=0.29",
        "wrapt>=1.17",  # post-import hooks: `import ifc` registers with detectron2 without loading it
    ],
    extras_require={
        "app": APP,
        "docs": DOCS,
        "fast-coco": FAST_COCO,
        "hub": HUB,
        "onnx": ONNX,
        "ray": RAY,
        "remote": REMOTE,
        "supervision": SUPERVISION,
        "timm": TIMM,
        "tracking": TRACKING,
        "dev": [
            *("build>=1.5", "hypothesis>=6.100", "import-linter>=2.1", "playwright>=1.65", "pytest>=8"),
            "ruff>=0.17,<0.18",
            *APP,
            *DOCS,
            *FAST_COCO,
            *HUB,
            *ONNX,
            *RAY,
            *SUPERVISION,
            *TIMM,
            *TRACKING,
        ],
    },
)
