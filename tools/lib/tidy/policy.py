# SPDX-License-Identifier: MIT
"""What the house wants, as tables. A rule is changed here; how it is checked stands in the rules_*.py files."""
import re

FILE_LINES_MAX = 500
FUNCTION_LINES_MAX = 60
FOLDER_SOURCES_WARN = 12

# path -> why it may be longer. An entry that is no longer needed is itself a finding.
LONG_FILES = {}
# (path, function) -> why it may be longer.
LONG_FUNCTIONS = {}

# First match decides: (path prefix, suffixes or () for all, licences).
DUAL, GPL, MIT = "GPL-2.0-only OR MIT", "GPL-2.0-only", "MIT"
LICENCES = [
    ("guest-shim/linux/", (".md",), (GPL, MIT)),
    ("guest-shim/linux/", (), (GPL,)),
    ("guest-shim/core/", (".h", ".c"), (DUAL,)),
    ("proto/tmem/", (".h",), (DUAL,)),
    ("tests/kernel/", (".c", ".h"), (GPL, MIT, DUAL)),
    ("tests/xenlab/", (".c", ".h"), (GPL, MIT, DUAL)),
    ("", (), (MIT,)),
]
# Files that carry no SPDX line: generated, data, or in a form without comments.
NO_SPDX_SUFFIXES = (".json", ".txt", ".svg", ".png", ".csv", ".gitignore", ".bin", ".arena", ".config")
NO_SPDX_PREFIXES = ("LICENSES/", "tests/fuzz/corpus/")

# Folders with source that need no README of their own, because the named one speaks for them.
README_ELSEWHERE = {
    "proto/tmem": "proto/README.md",
    "hypervisor-tmem/include": "hypervisor-tmem/README.md",
    "hypervisor-tmem/include/tmem": "hypervisor-tmem/README.md",
    ".ci": "docs/HACKING.md",
    "tools/lib": "tools/README.md",
    "tools/lib/tidy": "tools/README.md",
}
README_ELSEWHERE_PREFIXES = ("tests/",)  # a kind of tests has one README for all below it

# Who may include whom (docs/ARCHITECTURE.md, "Arrows"). A layer is the longest matching prefix; each may include itself.
LAYERS = {
    "proto/": ("proto",),
    "guest-shim/core/": ("core", "proto"),
    "guest-shim/linux/": ("linux", "core", "proto"),
    "guest-shim/sim/": ("sim", "core", "proto"),
    "hypervisor-tmem/include/": ("include",),
    "hypervisor-tmem/store/": ("store", "include"),
    "hypervisor-tmem/engine/": ("engine", "store", "include"),
    "hypervisor-tmem/transport/": ("transport", "engine", "include", "proto"),
    "hypervisor-tmem/transport/memfd/": ("memfd", "transport", "engine", "include", "proto"),
    "hypervisor-tmem/transport/xen/": ("xen", "transport", "engine", "include", "proto"),
    "hypervisor-tmem/control/": ("control", "engine", "include", "control.proto"),
    "hypervisor-tmem/daemon/": ("daemon", "memfd", "xen", "transport", "control", "engine", "store", "include", "proto",
                                "control.proto"),
    "xenstore-config/": ("xenstore-config", "proto", "control.proto"),
    "tools/": ("tools", "include", "proto", "control.proto"),
    "tools/tmemctl/": ("tools", "include", "proto", "control.proto", "xenstore-config"),
    "tools/selfballoon/": ("tools", "proto", "xenstore-config"),
    "tools/tmem-load/": ("tools", "sim", "core", "proto", "control.proto"),
    "tools/tmem-inspect/": ("tmem-inspect", "arena_format", "meta_format", "include"),
    "tests/": None,  # anything
}
# Single files that are a layer of their own.
FILE_LAYERS = {
    "hypervisor-tmem/store/arena_format.h": "arena_format",
    "hypervisor-tmem/engine/meta_format.h": "meta_format",
    "hypervisor-tmem/daemon/config/config.h": "config",
    "tools/selfballoon/params.h": "params",
    "tools/tmemctl/control_client.h": "control-client",
    # the two implementations of what core/tmem_front_os.h asks for; the build chooses one
    "guest-shim/sim/tmem_front_os_types.h": "core",
    "guest-shim/linux/tmem_front_os_types.h": "core",
}
# ... which these layers may include besides what LAYERS says: owners first, then who shares the one file.
FILE_LAYERS_OPEN_TO = {"arena_format": ("store", "engine", "daemon"), "meta_format": ("engine",), "config": ("daemon", "tools", "xenstore-config"),
                       "params": ("tools", "xenstore-config"), "control-client": ("tools", "xenstore-config")}

# Pairs of (layer prefix, pattern of a system header, why).
SYSTEM_HEADERS_BANNED = [
    (("hypervisor-tmem/store/", "hypervisor-tmem/engine/", "hypervisor-tmem/include/"),
     r"(thread|mutex|shared_mutex|condition_variable|future|stop_token|chrono|ctime|time\.h|iostream|fstream|cstdio|stdio\.h"
     r"|unistd\.h|fcntl\.h|sys/.*|syslog\.h|boost/.*|google/.*|xen.*)",
     "store and engine do no I/O, know no clock, no thread and no log"),
    (("hypervisor-tmem/transport/",), r"(boost/.*|google/.*|iostream|syslog\.h)", "transports are thin: no Asio, no protobuf, no log"),
    (("hypervisor-tmem/transport/memfd/", "hypervisor-tmem/control/", "hypervisor-tmem/store/", "hypervisor-tmem/engine/"),
     r"xen(ctrl|guest|gnttab|evtchn|store|light|.*)\.h", "only transport/xen and dom0's tools know Xen"),
    (("proto/",), r"(?!(stddef|stdint|stdatomic|atomic|linux/.*|asm/.*)).*", "the contract knows fixed-width types and barriers only"),
    (("guest-shim/core/",), r"(linux/.*|asm/.*|unistd\.h|sys/.*|pthread\.h|stdio\.h)",
     "the core is portable; what differs stands behind tmem_front_os.h"),
    (("hypervisor-tmem/",), r"(xenctrl\.h|xenguest\.h|libxl.*)", "the service uses Xen's stable libraries only"),
]

# (path prefixes, pattern over code without comments and strings, what, what instead).
_EVERYWHERE = ("hypervisor-tmem/", "guest-shim/", "tools/", "xenstore-config/", "tests/", "proto/")
_PRODUCT = ("hypervisor-tmem/", "guest-shim/", "tools/", "xenstore-config/")
_HOT = ("hypervisor-tmem/store/", "hypervisor-tmem/engine/", "hypervisor-tmem/transport/")
CALLS_BANNED = [
    (_EVERYWHERE, r"\b(strcpy|strcat|sprintf|vsprintf|stpcpy)\s*\(", "no bound on what is written", "snprintf, std::string or std::format_to_n"),
    (_EVERYWHERE, r"(?<![\w.>])s?rand\s*\(\s*\)", "not repeatable between machines", "a std::mt19937_64 with a printed seed"),
    (_PRODUCT, r"\bato(i|l|ll|f)\s*\(", "no way to see an error", "std::from_chars or strtoull with its end pointer"),
    (_EVERYWHERE, r"(?<![\w.>])(strtok|tmpnam|mktemp|alloca)\s*\(", "shared state, a race, or an unbounded stack", "strtok_r, mkstemp, a buffer of known size"),
    (("hypervisor-tmem/", "tools/", "xenstore-config/"), r"\bstd::regex\b", "exponential time on hostile input", "a hand-written scanner"),
    (_HOT, r"\b(throw|try|catch)\b(?!\s*\()", "no exceptions here: errors are values", "Status or Result<T>"),
    (_HOT, r"(?<!_)\bcatch\s*\(", "no exceptions here: errors are values", "Status or Result<T>"),
    (("hypervisor-tmem/store/", "hypervisor-tmem/engine/"), r"\b(std::(cout|cerr|clog)|printf\s*\(|fprintf\s*\()", "store and engine do not log",
     "a counter, or a Status that the caller reports"),
    (("hypervisor-tmem/", "guest-shim/sim/", "tools/", "xenstore-config/"), r"\busing\s+namespace\s+std\s*;", "names of std leak into ours", "std:: in full"),
    (("hypervisor-tmem/",), r"\bmemory_order_consume\b", "no compiler implements it", "memory_order_acquire"),
    (("guest-shim/linux/",), r"\bBUG(_ON)?\s*\(", "a guest must not die of our mistake", "WARN_ON_ONCE and an error"),
]

# Words that say "later"; spelt apart so that this file does not find itself.
WORDS_BANNED = ("TO" "DO", "FIX" "ME", "X" "XX")

# Names of C functions by file: (path prefix, allowed prefixes).
C_PREFIXES = [
    ("proto/tmem/tmemif.h", ("tmemif_",)),
    ("proto/tmem/tmem_ring.h", ("tmem_ring_",)),
    ("proto/tmem/", ("tmem_", "tmemif_")),
    ("guest-shim/core/", ("tmem_", "lazy_")),
]

# Function names that others chose: what they call must bear them.
FOREIGN_FUNCTIONS = {"SetUp", "TearDown", "PrintTo", "LLVMFuzzerTestOneInput"}

# Linux's names for what it asks of us: as whole words, or at the end of a function of ours. Loads and stores of memory are
# tmem_load_once() and the like.
LINUX_WORDS = re.compile(r"\b(?:tmem_\w+_)?(?:store|load|invalidate|folio)\b")
LINUX_WORDS_BANNED = ("proto/", "guest-shim/core/", "guest-shim/linux/")
LINUX_WORDS_ALLOWED = ("guest-shim/linux/hook",)
