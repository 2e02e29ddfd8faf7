# SPDX-License-Identifier: MIT
"""Who includes whom. A quoted include is resolved to a file of the tree, the file to its layer, the pair looked up."""
import posixpath
import re

from . import policy
from .source import Finding

# Roots that the build offers as include paths, in the order in which a name is looked up.
ROOTS = ("", "hypervisor-tmem/", "hypervisor-tmem/include/", "proto/", "guest-shim/", "guest-shim/core/", "guest-shim/sim/",
         "tools/", "xenstore-config/", "tests/")
_INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^">]+)[">]')


def layer_of(path):
    if path in policy.FILE_LAYERS:
        return policy.FILE_LAYERS[path]
    prefix = max((p for p in policy.LAYERS if path.startswith(p)), key=len, default=None)
    if prefix is None:
        return None
    return "anything" if policy.LAYERS[prefix] is None else policy.LAYERS[prefix][0]


def allowed(path):
    prefix = max((p for p in policy.LAYERS if path.startswith(p)), key=len, default=None)
    if prefix is None or policy.LAYERS[prefix] is None:
        return None
    layers = set(policy.LAYERS[prefix])
    layers.update(name for name, open_to in policy.FILE_LAYERS_OPEN_TO.items() if policy.LAYERS[prefix][0] in open_to)
    return layers


def resolve(name, from_path, known):
    here = posixpath.normpath(posixpath.join(posixpath.dirname(from_path), name))
    if here in known:
        return here
    for root in ROOTS:  # a header that the build makes from NAME.in counts as that
        if root + name in known or root + name + ".in" in known:
            return root + name
    return None


def target_layer(name, from_path, known):
    """(layer, what it resolved to), or (None, why not)."""
    if name.endswith(".pb.h"):
        return "control.proto", name
    path = resolve(name, from_path, known)
    return (layer_of(path), path) if path else (None, None)


def arrows(files):
    known = {f.path for f in files}
    for f in files:
        if not f.is_c:
            continue
        may = allowed(f.path)
        for number, line in enumerate(f.code.splitlines(), 1):
            match = _INCLUDE.match(line)
            if not match:
                continue
            bracket, name = match.groups()
            if bracket == "<" and resolve(name, f.path, known) is None:
                yield from system_header(f, number, name)
            elif may is not None:
                yield from project_header(f, number, name, known, may)


def system_header(f, number, name):
    for prefixes, pattern, why in policy.SYSTEM_HEADERS_BANNED:
        if f.path.startswith(prefixes) and re.fullmatch(pattern, name) and not name.endswith(".pb.h"):
            yield Finding(f.path, number, f"includes <{name}>", why, "move what needs it to a layer that may")


def project_header(f, number, name, known, may):
    layer, path = target_layer(name, f.path, known)
    if layer is None and path is None:
        if "/" in name or f.path.startswith("hypervisor-tmem/"):
            yield Finding(f.path, number, f"includes \"{name}\", which no file of the tree is", "an arrow must be visible",
                          "write the path from its include root, or use <> for a system header")
    elif layer == "anything":
        yield Finding(f.path, number, f"includes {path}", "the product never includes tests", "move what is shared to the product")
    elif layer not in may:
        yield Finding(f.path, number, f"includes {path} ({layer})", f"{layer_of(f.path)} may include {', '.join(sorted(may))}",
                      "turn the dependency around, or pass what is needed as an argument")
