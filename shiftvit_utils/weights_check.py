"""What the HDF5 file within a model file may not do: point out of itself.

HDF5 can keep an array in another file, or be a link to one, so that loading a stranger's weights
would read any file of this machine into the network, and give it away with the network. It can also
state an array of terabytes that takes no room in the file. Keras refuses both from 3.13.2 on; this
refuses them with every version.
"""

import h5py

# A dense array takes as many bytes in the file as in memory; compression gains little on weights.
_MOST_EXPANSION = 100
_HARMLESS_BYTES = 2**20  # whatever it expands to


def check_weights(file):
    """Refuses weights that are not wholly in this file.

    Args:
        file: path of an HDF5 file, or a binary file object.

    Raises:
        ValueError: for links, for arrays that lie elsewhere or that are larger than the file can
            hold. The message leaves the file's name to the caller.
        OSError: if it is no HDF5 file.

    >>> import io
    >>> content = io.BytesIO()
    >>> with h5py.File(content, "w") as file:
    ...     file["kernel"] = h5py.ExternalLink("/etc/passwd", "/")
    >>> check_weights(content)
    Traceback (most recent call last):
    ValueError: its weights /kernel are a link (ExternalLink), which this library never writes
    """
    with h5py.File(file, "r") as opened:
        _check_group(opened)


def _check_group(group):
    for name in group:
        where = f"its weights {group.name.rstrip('/')}/{name}"
        link = group.get(name, getlink=True)
        if not isinstance(link, h5py.HardLink):
            raise ValueError(
                f"{where} are a link ({type(link).__name__}), which this library never writes"
            )
        found = group[name]
        if isinstance(found, h5py.Group):
            _check_group(found)
        elif isinstance(found, h5py.Dataset):
            _check_dataset(found, where)


def _check_dataset(dataset, where):
    if dataset.external or dataset.is_virtual:
        raise ValueError(f"{where} lie in another file")
    stored = dataset.id.get_storage_size()
    if dataset.nbytes > max(_HARMLESS_BYTES, _MOST_EXPANSION * stored):
        raise ValueError(
            f"{where} claim {dataset.nbytes:,} bytes, of which the file holds {stored:,}"
        )
