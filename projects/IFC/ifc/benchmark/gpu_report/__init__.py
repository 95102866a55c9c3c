# SPDX-License-Identifier: Apache-2.0
"""`ifc benchmark gpu-report`: all that is to be known of a device, in one command and in a given time.

A step is a module here with a function `parts(settings)`: what it measures, by name, the most important first.
"""
