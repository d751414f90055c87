"""Decoding apart from everything else: a child process that holds one file and may do almost nothing.

:mod:`reader` is what callers use; :mod:`process` starts, watches and ends the child; :mod:`decoder` is the
child, :mod:`confinement` and :mod:`seccomp` what it does to itself before it touches the file;
:mod:`framing` is how the two talk, :mod:`facts` how the parent checks what it is told. docs/media.md
says what is stopped and what is not.
"""
