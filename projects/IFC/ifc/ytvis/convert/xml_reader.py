# SPDX-License-Identifier: Apache-2.0
"""XML of unknown origin."""

import os
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

MAX_DEPTH = 50


def read_xml(path: str | os.PathLike) -> Element:
    """The root of an XML file.

    A document type, with which a small file can stand for gigabytes or read other files, is refused.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no XML, cut off, has a document type, or is nested more than 50 deep. The message names the
            file and the position.
    """
    builder = TreeBuilder()
    depth = 0
    refused = None
    parser = expat.ParserCreate()
    parser.buffer_text = True

    def refuse(found: str, expected: str) -> None:
        nonlocal refused
        refused = ValueError(f"{path}: line {parser.CurrentLineNumber}: found {found}, expected {expected}")
        raise refused

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > MAX_DEPTH:
            refuse(f"elements nested more than {MAX_DEPTH} deep", "XML of a data set")
        builder.start(name, {**attributes, "": f"{path}: line {parser.CurrentLineNumber}"})

    def end(name: str) -> None:
        nonlocal depth
        depth -= 1
        builder.end(name)

    parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = start, end, builder.data
    parser.StartDoctypeDeclHandler = lambda *_: refuse("a document type", "XML without one")
    try:
        with open(path, "rb") as file:
            parser.ParseFile(file)
    except expat.ExpatError as error:
        place = f"line {error.lineno}, column {error.offset + 1}"
        raise ValueError(f"{path}: found no valid XML at {place}: {expat.ErrorString(error.code)}") from None
    except (LookupError, ValueError) as error:  # an encoding that does not exist, or that expat does not know
        raise refused or ValueError(f"{path}: found no valid XML: {error}") from None
    return builder.close()


def place_of(element: Element) -> str:
    """The file and the line that an element begins on."""
    return element.get("")
