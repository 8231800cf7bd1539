#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Usage: summary.py --broken N [BUILD-DIRECTORY...]

Shows the output of the tests that failed in the last `meson test` of these directories, then how many passed, failed and were
skipped, each case of a test program counted; N builds that failed are failures. The exit status is 0 if nothing failed and, where
the environment says CI=true, nothing was skipped."""

import collections
import json
import os
import pathlib
import sys
import xml.etree.ElementTree as ElementTree

LINES = 60  # of each output


def cases_of(directory, programs):
    """By test program, how many of its cases passed, failed and were skipped, as far as it told."""
    cases = collections.defaultdict(collections.Counter)
    for suite in ElementTree.parse(directory / 'meson-logs/testlog.junit.xml').iter('testsuite'):
        # PROJECT for programs without cases of their own, else PROJECT.PROGRAM or PROJECT.PROGRAM.SUITE
        name = suite.get('name').partition('.')[2]
        for case in suite.iter('testcase'):
            kinds = {element.tag for element in case}
            verdict = ('failed' if kinds & {'failure', 'error'} else
                       'skipped' if 'skipped' in kinds or case.get('status') == 'notrun' else 'passed')
            program = case.get('name') if not name else name if name in programs else name.rpartition('.')[0]
            cases[program][verdict] += 1
    return cases


def main():
    total = collections.Counter(failed=int(sys.argv[2]))
    for directory in map(pathlib.Path, sys.argv[3:]):
        tests = [json.loads(line) for line in (directory / 'meson-logs/testlog.json').read_text().splitlines()]
        cases = cases_of(directory, {test['name'] for test in tests})
        for test in tests:
            counted = cases[test['name']]
            if test['result'] == 'SKIP':
                counted = collections.Counter(skipped=1)
            elif test['result'] != 'OK':
                counted['failed'] = max(counted['failed'], 1)  # it crashed or took too long
                print(f'\n== {directory.name}: {test["name"]}: {test["result"]}')
                for stream in ('stdout', 'stderr'):
                    lines = test.get(stream, '').splitlines()
                    print(*([f'... ({len(lines) - LINES} lines)'] if len(lines) > LINES else []), *lines[-LINES:], sep='\n')
            total += counted
    print(f'\n{total["passed"]} passed, {total["failed"]} failed, {total["skipped"]} skipped')
    return 1 if total['failed'] or os.environ.get('CI') == 'true' and total['skipped'] else 0


if __name__ == '__main__':
    sys.exit(main())
