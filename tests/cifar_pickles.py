"""A batch of CIFAR-10 as its authors wrote it, in Python 2; no tests in here."""

import struct


def python2_pickle(data, labels):
    """The bytes that Python 2's pickle wrote for {'data': array, 'labels': list}, by hand."""

    def text(value):  # SHORT_BINSTRING, which Python 3 never writes
        return b"U" + bytes([len(value)]) + value

    def integer(value):
        return b"J" + struct.pack("<i", value)

    dtype = b"cnumpy\ndtype\n(" + text(b"u1") + integer(0) + integer(1) + b"tR("
    dtype += integer(3) + text(b"|") + b"NNN" + integer(-1) + integer(-1) + integer(0) + b"tb"
    array = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n"
    array += b"(" + integer(0) + b"t" + text(b"b") + b"tR("
    array += integer(1) + b"(" + integer(len(data)) + integer(3072) + b"t" + dtype + b"\x89"
    array += b"T" + struct.pack("<i", data.nbytes) + data.tobytes() + b"tb"
    listed = b"](" + b"".join(integer(label) for label in labels) + b"e"
    return b"\x80\x02}(" + text(b"data") + array + text(b"labels") + listed + b"u."
