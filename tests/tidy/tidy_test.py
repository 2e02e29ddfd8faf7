#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""tools/tidy against tiny trees, each with one fault: it is found, in the right line, and nothing else is."""
import os
import subprocess
import sys
import tempfile
import unittest

TOP = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", ".."))
MIT = "// SPDX-License-Identifier: MIT\n"
DUAL = "/* SPDX-License-Identifier: GPL-2.0-only OR MIT */\n"
PAGE = "<!-- SPDX-License-Identifier: MIT -->\n# Page\n"


def tidy(files, *arguments):
    """Runs tidy over a tree made of {path: text}. Gives (exit status, the findings)."""
    with tempfile.TemporaryDirectory() as root:
        for path, text in files.items():
            full = os.path.join(root, path)
            os.makedirs(os.path.dirname(full), exist_ok=True)
            with open(full, "w", encoding="utf-8") as f:
                f.write(text)
        run = subprocess.run([sys.executable, "-B", os.path.join(TOP, "tools/tidy"), "--root", root, *arguments],
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        return run.returncode, run.stdout.splitlines()[:-1]


class Tidy(unittest.TestCase):
    def assert_clean(self, files, *arguments):
        self.assertEqual(tidy(files, *arguments), (0, []))

    def assert_finds(self, files, where, what, *arguments):
        status, lines = tidy(files, *arguments)
        self.assertEqual(status, 1, lines)
        self.assertEqual(len(lines), 1, lines)
        self.assertTrue(lines[0].startswith(where + ": "), lines)
        self.assertIn(what, lines[0])

    def test_a_good_tree_is_clean(self):
        self.assert_clean({"hypervisor-tmem/store/a.h": MIT + "#pragma once\n", "hypervisor-tmem/store/README.md": PAGE,
                           "hypervisor-tmem/store/a.cc": MIT + '#include "store/a.h"\nint f() { return 1; }\n'})

    def test_a_missing_licence_line_is_found(self):
        self.assert_finds({"tools/x/a.cc": "int x;\n"}, "tools/x/a.cc:1", "no SPDX line", "--rule", "spdx")

    def test_each_folder_has_its_licence(self):
        self.assert_finds({"guest-shim/linux/a.c": MIT}, "guest-shim/linux/a.c:1", "licence 'MIT'", "--rule", "spdx")
        self.assert_finds({"proto/tmem/a.h": MIT}, "proto/tmem/a.h:1", "licence 'MIT'", "--rule", "spdx")
        self.assert_finds({"tools/x/a.cc": DUAL}, "tools/x/a.cc:1", "GPL", "--rule", "spdx")
        self.assert_clean({"proto/tmem/a.h": DUAL, "guest-shim/core/a.c": DUAL}, "--rule", "spdx")

    def test_unfinished_work_is_found(self):
        self.assert_finds({"a.py": "x = 1\ny = 2  # TO" "DO: z\n"}, "a.py:2", "TO" "DO", "--rule", "words")
        self.assert_clean({"a.sh": "mktemp /tmp/a.XXXXXX\n"}, "--rule", "words")

    def test_banned_calls_are_found_in_code_only(self):
        bad = MIT + "void f(char* a) {\n  strcpy(a, a);\n}\n"
        self.assert_finds({"tools/x/a.cc": bad}, "tools/x/a.cc:3", "strcpy", "--rule", "calls")
        self.assert_clean({"tools/x/a.cc": MIT + '// strcpy(a, b)\nconst char* s = "strcpy(a, b)";\n'}, "--rule", "calls")
        self.assert_clean({"tools/x/a.cc": MIT + "int operand(); int y = operand();\n"}, "--rule", "calls")

    def test_exceptions_are_banned_where_errors_are_values(self):
        bad = MIT + "void f() { throw 1; }\n"
        self.assert_finds({"hypervisor-tmem/engine/a.cc": bad}, "hypervisor-tmem/engine/a.cc:2", "throw", "--rule", "calls")
        self.assert_clean({"hypervisor-tmem/control/a.cc": bad}, "--rule", "calls")

    def test_a_file_of_501_lines_is_too_long(self):
        self.assert_clean({"a.py": "x = 1\n" * 500}, "--rule", "file-length")
        self.assert_finds({"a.py": "x = 1\n" * 501}, "a.py:501", "501 lines", "--rule", "file-length")

    def test_a_function_of_61_lines_is_too_long(self):
        body = "  int x = 1;\n"
        for head in ("int f() {\n", "Status Engine::put(Handle h,\n", "TEST(Store, KeepsPages) {\n", "auto g() -> Result<int> {\n"):
            tail = "    Page p) {\n" if head.endswith(",\n") else ""
            fits, over = 58 - len(tail.splitlines()), 59 - len(tail.splitlines())
            self.assert_clean({"a.cc": head + tail + body * fits + "}\n"}, "--rule", "function-length")
            self.assert_finds({"a.cc": "\n" + head + tail + body * over + "}\n"}, "a.cc:2", "61 lines", "--rule", "function-length")

    def test_long_classes_and_tables_are_no_functions(self):
        self.assert_clean({"a.h": "class A : public B {\n" + "  int f() const { return 1; }\n" * 80 + "};\n",
                           "b.h": "namespace a {\nextern \"C\" {\n" + "int x;\n" * 80 + "}\n}\n",
                           "c.cc": "constexpr int kTable[] = {\n" + "  1,\n" * 80 + "};\n"}, "--rule", "function-length")

    def test_members_initialised_with_braces_do_not_hide_the_constructor(self):
        self.assert_finds({"a.cc": "A::A(int b) : b_{b}, c_(1) {\n" + "  f();\n" * 61 + "}\n"}, "a.cc:1", "lines", "--rule", "function-length")

    def test_python_and_shell_functions_are_measured(self):
        self.assert_finds({"a.py": "def f():\n" + "    x = 1\n" * 60}, "a.py:1", "f has 61", "--rule", "function-length")
        self.assert_finds({"a.sh": "f() {\n" + "  x=1\n" * 59 + "}\n"}, "a.sh:1", "f has 61", "--rule", "function-length")

    def arrow(self, path, include, other):
        return {path: MIT + "\n" + f"#include {include}\n", **({other: MIT} if other else {})}

    def test_arrows_against_the_house_are_found(self):
        bad = [
            ("hypervisor-tmem/store/a.cc", '"tmem/engine.h"', None),
            ("hypervisor-tmem/store/a.cc", '"engine/e.h"', "hypervisor-tmem/engine/e.h"),
            ("hypervisor-tmem/engine/a.cc", '"control/c.h"', "hypervisor-tmem/control/c.h"),
            ("hypervisor-tmem/engine/a.cc", "<chrono>", None),
            ("hypervisor-tmem/engine/a.cc", "<boost/asio.hpp>", None),
            ("hypervisor-tmem/store/a.cc", "<sys/mman.h>", None),
            ("hypervisor-tmem/control/a.cc", '"transport/channel.h"', "hypervisor-tmem/transport/channel.h"),
            ("hypervisor-tmem/transport/memfd/a.cc", '"transport/xen/x.h"', "hypervisor-tmem/transport/xen/x.h"),
            ("guest-shim/core/a.c", '"tmem/types.h"', "hypervisor-tmem/include/tmem/types.h"),
            ("tools/tmemctl/a.cc", '"engine/e.h"', "hypervisor-tmem/engine/e.h"),
            ("tools/tmem-inspect/a.cc", '"store/arena.h"', "hypervisor-tmem/store/arena.h"),
            ("hypervisor-tmem/daemon/a.cc", '"support/fake.h"', "tests/support/fake.h"),
            ("proto/tmem/a.h", "<vector>", None),
        ]
        for path, include, other in bad:
            with self.subTest(path=path, include=include):
                self.assert_finds(self.arrow(path, include, other), f"{path}:3", "includes", "--rule", "arrows")

    def test_arrows_of_the_house_are_allowed(self):
        good = [
            ("hypervisor-tmem/engine/a.cc", '"store/arena.h"', "hypervisor-tmem/store/arena.h"),
            ("hypervisor-tmem/transport/a.cc", '"tmem/tmem_ring.h"', "proto/tmem/tmem_ring.h"),
            ("hypervisor-tmem/daemon/a.cc", '"transport/xen/x.h"', "hypervisor-tmem/transport/xen/x.h"),
            ("tools/tmem-inspect/a.cc", '"store/arena_format.h"', "hypervisor-tmem/store/arena_format.h"),
            ("tests/store/a.cc", '"store/arena.h"', "hypervisor-tmem/store/arena.h"),
            ("guest-shim/sim/a.cc", '"tmem_front.h"', "guest-shim/core/tmem_front.h"),
        ]
        for path, include, other in good:
            with self.subTest(path=path, include=include):
                self.assert_clean(self.arrow(path, include, other), "--rule", "arrows")

    def test_names_of_the_layers_are_kept(self):
        self.assert_finds({"proto/tmem/tmem_ring.h": DUAL + "static inline int ring_full(int a)\n{\n}\n"},
                          "proto/tmem/tmem_ring.h:2", "ring_full", "--rule", "c-prefixes")
        self.assert_finds({"hypervisor-tmem/store/a.h": MIT + "struct arena_thing {\n};\n"},
                          "hypervisor-tmem/store/a.h:2", "arena_thing", "--rule", "cpp-names")
        self.assert_finds({"hypervisor-tmem/store/a.h": MIT + "inline constexpr int page_bytes = 4;\n"},
                          "hypervisor-tmem/store/a.h:2", "page_bytes", "--rule", "cpp-names")
        for head in ("static int readPage(int a)", "void Engine::ReadPage()"):
            self.assert_finds({"tools/x/a.cc": MIT + head + " {\n}\n"}, "tools/x/a.cc:2", "eadPage", "--rule", "functions")
        self.assert_finds({"tools/x/BadName.cc": MIT}, "tools/x/BadName.cc:1", "BadName.cc", "--rule", "file-names")

    def test_constructors_tests_and_names_of_others_are_no_functions_of_ours(self):
        self.assert_clean({"tools/x/a.cc": MIT + "class PageList {\n public:\n  PageList() {}\n  ~PageList() {}\n  bool operator==(int) { return 1; }\n};\n"
                                           "PageList make(int a) { return PageList(a); }\nTEST(Pages, AreRead) {\n  RunAll();\n}\n"
                                           "struct T : testing::Test {\n  void SetUp() override {}\n};\nMACRO_OF_OTHERS(a, b)\n{\n}\n"}, "--rule", "functions")

    def test_private_members_end_in_an_underscore(self):
        good = ["int a_;", "int a_ = f(1);", "std::map<int, std::function<void(int)>> a_{};", "char a_[4][kMax];", "uint32_t a_ : 3;", "static int made;",
                "static constexpr int kMax = 4;", "using List = int;", "friend class Other;", "enum class Kind { kOne, kTwo };", "class Forward;",
                "struct Open {\n  int a;\n};", "int f(int a) const;", "int f() { int a; return a; }", "A() : a_{1} {}"]
        self.assert_clean({"a.h": MIT + "class A final : public B {\n public:\n  int open;\n private:\n  " + "\n  ".join(good) + "\n};\nstruct C {\n  int a;\n};\n"},
                          "--rule", "members")
        for bad in ("int a;", "int a = f(1);", "std::map<int, std::function<void(int)>> a{};", "std::map<int, std::list<int>::iterator> a;", "char a[4][kMax];", "uint32_t a : 3;", "Other& a;", "int b_, a;"):
            for place in ("class A {\n  ", "struct A {\n private: "):
                self.assert_finds({"a.h": MIT + place + bad + "\n  void f() {}\n};\n"}, "a.h:3", "private member a", "--rule", "members")
            self.assert_finds({"a.h": MIT + "class A {\n  A() : b_{1} {}\n  struct C {\n    int d;\n  };\n  " + bad + "\n};\n"},
                              "a.h:7", "private member a", "--rule", "members")

    def test_linux_words_stand_only_where_its_hooks_are_translated(self):
        gpl = "// SPDX-License-Identifier: GPL-2.0-only\n"
        for bad in ("int (*store)(int page);", "static int tmem_pool_load(int page)", "struct folio *folio_of;"):
            self.assert_finds({"guest-shim/linux/pool.c": gpl + bad + "\n"}, "guest-shim/linux/pool.c:2", "Linux's word", "--rule", "linux-words")
            self.assert_clean({"guest-shim/linux/hooks.h": gpl + bad + "\n", "hypervisor-tmem/store/a.cc": MIT + bad + "\n"}, "--rule", "linux-words")
        self.assert_clean({"guest-shim/core/a.c": DUAL + "int a = tmem_load_once(&b); // a load\nsmp_store_release(&a, 1);\n"}, "--rule", "linux-words")

    def test_a_folder_without_a_readme_is_found(self):
        self.assert_finds({"hypervisor-tmem/store/a.cc": MIT}, "hypervisor-tmem/store/a.cc:1", "no README.md", "--rule", "readmes")

    def test_links_that_lead_nowhere_are_found(self):
        self.assert_finds({"a.md": PAGE + "[b](b.md)\n"}, "a.md:3", "b.md", "--rule", "links")
        self.assert_finds({"a.md": PAGE + "[b](b.md#no)\n", "b.md": PAGE}, "a.md:3", "b.md#no", "--rule", "links")
        self.assert_clean({"a.md": PAGE + "[b](b.md#page) [c](https://example.org) `[d](e)`\n", "b.md": PAGE}, "--rule", "links")

    def test_an_option_without_a_document_is_found(self):
        with tempfile.TemporaryDirectory() as folder:
            program = os.path.join(folder, "tmem-thing")
            with open(program, "w", encoding="utf-8") as f:
                f.write("#!/bin/sh\necho 'usage: tmem-thing --loud --quiet'\n")
            os.chmod(program, 0o755)
            self.assert_finds({"a.md": PAGE + "`tmem-thing --quiet`\n"}, "tmem-thing:1", "--loud", "--help-of", program)
            self.assert_clean({"a.md": PAGE + "`tmem-thing --quiet --loud`\n"}, "--help-of", program)


if __name__ == "__main__":
    unittest.main()
